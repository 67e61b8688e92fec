"""The probability flow in fixed steps of rho^2, as a denoising-MCMC baseline takes it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from fewstep.level import Level
from fewstep.process.base import Process
from fewstep.solvers.base import Evaluate, S, register
from fewstep.solvers.options import Options


@register("probability-flow", order=1, handles_clean=True)
def probability_flow(
    evaluate: Evaluate[S], x: S, levels: Sequence[Level], process: Process, *, options: Options
) -> S:
    """Euler's method in rho^2 on v = x / alpha. Ref: Song et al. 2021 (score SDE), eq. 13.

    Reverse diffusion with half its drift and none of its noise: the step from s to t adds
    (rho_s^2 - rho_t^2) / 2 of the score (denoised - v) / rho_s^2. That holds for the step to the
    clean level too, which so goes only half of the way to the denoised prediction. Steps must be
    short: unlike `ddim`, Euler's method in rho, it leaves even a straight line.
    """
    v = x / levels[0].alpha
    for s, t in pairwise(levels):
        share = 0.5 * (1.0 - (t.rho / s.rho) ** 2)
        v = v + share * (evaluate(s.alpha * v, s) - v)
    return levels[-1].alpha * v
