"""The reverse-diffusion sampler: the forward chain's noise taken back level by level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from fewstep.level import Level
from fewstep.process.base import Process
from fewstep.solvers.base import Evaluate, S, register
from fewstep.solvers.options import Options


@register("reverse-diffusion", order=1, is_stochastic=True)
def reverse_diffusion(
    evaluate: Evaluate[S], x: S, levels: Sequence[Level], process: Process, *, options: Options
) -> S:
    """Reverse diffusion in v = x / alpha. Ref: Song et al. 2021 (score SDE), eq. 46, for VE.

    With the score (denoised - v) / rho_s^2 a step adds (rho_s^2 - rho_t^2) of it, and noise of that
    variance. The same step to the clean level, without its noise, is the denoised prediction, which
    `trace` takes. One noise term per step, after its evaluation.
    """
    v = x / levels[0].alpha
    for s, t in pairwise(levels):
        removed = s.rho**2 - t.rho**2  # variance between the levels
        denoised = evaluate(s.alpha * v, s)
        v = v + (removed / s.rho**2) * (denoised - v) + math.sqrt(removed) * evaluate.noise()
    return levels[-1].alpha * v
