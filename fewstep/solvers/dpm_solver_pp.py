"""DPM-Solver++: multistep methods on the denoised prediction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from fewstep.level import Level
from fewstep.process.base import Process
from fewstep.solvers.base import Evaluate, S, register
from fewstep.solvers.options import Options


@register("dpm-solver++-2m", order=2, memory=2)
def dpm_solver_pp_2m(
    evaluate: Evaluate[S], x: S, levels: Sequence[Level], process: Process, *, options: Options
) -> S:
    """Second-order multistep in lambda. Ref: Lu et al. 2022 (DPM-Solver++), algorithm 2.

    The first step is first order, and so is the step to the clean level, which `trace` takes.
    """
    previous: S | None = None
    h_previous = math.nan
    for s, t in pairwise(levels):
        h = t.lam - s.lam
        denoised = evaluate(x, s)
        target = denoised
        if previous is not None:
            extrapolation = h / (2.0 * h_previous)
            target = (1.0 + extrapolation) * denoised - extrapolation * previous
        x = (t.sigma / s.sigma) * x - (t.alpha * math.expm1(-h)) * target
        previous, h_previous = denoised, h
    return x
