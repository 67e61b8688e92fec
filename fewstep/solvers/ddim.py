"""DDIM without noise, which is DPM-Solver-1 and Euler's method in rho."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from fewstep.level import Level
from fewstep.process.base import Process
from fewstep.solvers.base import Evaluate, S, register
from fewstep.solvers.options import Options


@register("ddim", order=1)
def ddim(
    evaluate: Evaluate[S], x: S, levels: Sequence[Level], process: Process, *, options: Options
) -> S:
    """First-order exponential integrator. Ref: Song et al. 2021 (DDIM), eq. 12 with eta = 0.

    In rho = sigma / alpha, with x / alpha as the state, this is Euler's method, so k-diffusion's
    and diffusers' Euler samplers give the same numbers.
    """
    for s, t in pairwise(levels):
        denoised = evaluate(x, s)
        keep = t.sigma / s.sigma
        x = keep * x + (t.alpha - keep * s.alpha) * denoised
    return x
