"""Euler-Maruyama on the reverse-time stochastic equation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from fewstep.level import Level
from fewstep.process.base import Process
from fewstep.solvers.base import Evaluate, S, register
from fewstep.solvers.options import Options


@register("euler-maruyama", order=1, is_stochastic=True)
def euler_maruyama(
    evaluate: Evaluate[S], x: S, levels: Sequence[Level], process: Process, *, options: Options
) -> S:
    """Euler-Maruyama in u = log rho. Ref: Song et al. 2021 (score SDE), eq. 6, for VE.

    There v = x / alpha obeys dv = -2 (denoised - v) du + sqrt(2) rho dW backwards in u, whose
    diffusion g^2 = d rho^2 / du = 2 rho^2 is frozen at the step's start. Unlike the noise of
    reverse diffusion it does not add up to the exact variance between levels, so coarse grids
    diverge. The step to the clean level, infinitely long in u, is the denoised prediction, which
    `trace` takes. One noise term per step, after its evaluation.
    """
    v = x / levels[0].alpha
    for s, t in pairwise(levels):
        diffused = 2.0 * (t.lam - s.lam)  # g^2 |du| in units of rho_s^2
        denoised = evaluate(s.alpha * v, s)
        v = v + diffused * (denoised - v) + (s.rho * math.sqrt(diffused)) * evaluate.noise()
    return levels[-1].alpha * v
