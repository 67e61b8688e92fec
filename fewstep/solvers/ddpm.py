"""DDPM's ancestral sampler, and everything between it and DDIM."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from fewstep.level import Level
from fewstep.process.base import Process
from fewstep.solvers.base import Evaluate, S, register
from fewstep.solvers.options import Options, option


@dataclass(frozen=True, slots=True, kw_only=True)
class DDPMOptions(Options):
    """How much of the posterior's noise is drawn."""

    eta: float = option(
        1.0, low=0.0, high=1.0, help="share of the posterior's deviation: 0 is DDIM, 1 DDPM"
    )


@register("ddpm", order=1, options=DDPMOptions, is_stochastic=True)
def ddpm(
    evaluate: Evaluate[S],
    x: S,
    levels: Sequence[Level],
    process: Process,
    *,
    options: DDPMOptions,
) -> S:
    """Sample the posterior q(x_t | x_s, denoised). Ref: Song et al. 2021 (DDIM), eq. 12 and 16.

    In v = x / alpha every Gaussian process is v = x0 + rho eps, where the posterior of v_t has the
    variance rho_t^2 (1 - rho_t^2 / rho_s^2), so this holds beyond variance-preserving ones.
    """
    for s, t in pairwise(levels):
        denoised = evaluate(x, s)
        drawn = options.eta * t.sigma * math.sqrt(1.0 - (t.rho / s.rho) ** 2)
        keep = math.sqrt(t.sigma**2 - drawn**2) / s.sigma
        x = keep * x + (t.alpha - keep * s.alpha) * denoised + drawn * evaluate.noise()
    return x
