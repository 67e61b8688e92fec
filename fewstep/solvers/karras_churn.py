"""The stochastic sampler of EDM: noise is added at some levels, then Heun's method removes it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from fewstep.errors import InvalidInput
from fewstep.level import Level
from fewstep.process.base import Process
from fewstep.solvers.base import Evaluate, S, register
from fewstep.solvers.heun import heun_step
from fewstep.solvers.options import Options, option

# The cap that the paper puts on gamma: a step at most doubles the variance of the noise.
_MAX_GAMMA = math.sqrt(2.0) - 1.0
# Above the noise of any process; keeps squares of limits finite.
_MAX_RHO = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class KarrasChurnOptions(Options):
    """How much noise is added, and where.

    The defaults are those of the denoising-MCMC experiments on data in [0, 1]; for data in [-1, 1]
    the same levels are twice as high.
    """

    s_churn: float = option(
        80.0,
        low=0.0,
        high=1000.0,
        genes=(0.0, 5.0, 20.0, 80.0),
        help="amount of noise: gamma = min(s_churn / K, sqrt(2) - 1) on a grid of K steps, the one "
        "to the clean level counted; 0 is Heun's method",
    )
    s_tmin: float = option(
        0.05, low=0.0, high=_MAX_RHO, help="lowest noise-to-signal ratio at which noise is added"
    )
    s_tmax: float = option(
        1.0, low=0.0, high=_MAX_RHO, help="highest noise-to-signal ratio at which noise is added"
    )
    s_noise: float = option(1.007, low=0.0, high=2.0, help="deviation of the noise that is added")

    def check(self, steps: int) -> None:  # noqa: ARG002  the same on any grid
        """The range of levels is not turned around."""
        if self.s_tmin > self.s_tmax:
            raise InvalidInput(
                f"options.s_tmin={self.s_tmin!r}: allowed: numbers up to s_tmax={self.s_tmax!r}",
                field="options.s_tmin",
            )


def _count_calls(steps: int, options: KarrasChurnOptions) -> int:
    """Two evaluations per step, one in the step to the clean level."""
    return 2 * steps - 1


@register(
    "karras-churn",
    order=2,
    calls_per_step=2,
    options=KarrasChurnOptions,
    handles_clean=True,
    count_calls=_count_calls,
    is_stochastic=True,
)
def karras_churn(
    evaluate: Evaluate[S],
    x: S,
    levels: Sequence[Level],
    process: Process,
    *,
    options: KarrasChurnOptions,
) -> S:
    """Heun's method with added noise. Ref: Karras et al. 2022 (EDM), algorithm 2.

    One noise term per step, before its first evaluation, where gamma is 0 too, so that terms belong
    to steps; none at all where s_churn is 0. The step to the clean level also adds noise if its
    level is in the range, and returns the denoised prediction.
    """
    v, steps = x / levels[0].alpha, len(levels) - 1
    for s, t in pairwise(levels):
        hat = _raised(process, s, steps, options)
        if options.s_churn > 0.0:
            added = options.s_noise * math.sqrt(max(0.0, hat.rho**2 - s.rho**2))
            v = v + added * evaluate.noise()
        v = evaluate(hat.alpha * v, hat) if t.is_clean else heun_step(evaluate, v, hat, t)
    return levels[-1].alpha * v


def _raised(process: Process, s: Level, steps: int, options: KarrasChurnOptions) -> Level:
    """The level to which noise is added; no noisier than the process gets."""
    is_within = options.s_tmin <= s.rho <= options.s_tmax
    gamma = min(options.s_churn / steps, _MAX_GAMMA) if is_within else 0.0
    return process.at_rho((1.0 + gamma) * s.rho) if gamma > 0.0 else s
