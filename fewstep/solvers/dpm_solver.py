"""DPM-Solver: single-step exponential integrators on the predicted noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from fewstep.errors import InvalidInput
from fewstep.level import Level
from fewstep.process.base import Process
from fewstep.solvers.base import Evaluate, S, register
from fewstep.solvers.exponential import inner_level, phi
from fewstep.solvers.options import Options, option


@dataclass(frozen=True, slots=True, kw_only=True)
class DPMSolver2Options(Options):
    """Where inside its step the second evaluation is."""

    r1: float = option(
        0.5, low=0.1, high=1.0, help="place of the second evaluation, as a share of the lambda step"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DPMSolver3Options(Options):
    """Where inside its step the second and third evaluation are."""

    r1: float = option(
        1.0 / 3.0, low=0.1, high=0.9, help="place of the second evaluation; below r2"
    )
    r2: float = option(
        2.0 / 3.0,
        low=0.2,
        high=1.0,
        help="place of the third evaluation; third order at 2/3 only, second elsewhere",
    )

    def check(self, steps: int) -> None:  # noqa: ARG002  the same on any grid
        """The second evaluation comes before the third."""
        if self.r1 >= self.r2:
            raise InvalidInput(
                f"options.r1={self.r1!r}: allowed: numbers below r2={self.r2!r}", field="options.r1"
            )


@register("dpm-solver-2", order=2, calls_per_step=2, options=DPMSolver2Options)
def dpm_solver_2(
    evaluate: Evaluate[S],
    x: S,
    levels: Sequence[Level],
    process: Process,
    *,
    options: DPMSolver2Options,
) -> S:
    """Two evaluations per step. Ref: Lu et al. 2022 (DPM-Solver), algorithm 1.

    With r1 = 1/2 the second is in the middle of the step in lambda. `dpm-solver-1` is DDIM.
    """
    for s, t in pairwise(levels):
        middle = inner_level(process, s, t, options.r1)
        eps = _noise_at(evaluate, x, s)
        eps_middle = _noise_at(evaluate, _first_order(x, eps, s, middle), middle)
        share = (middle.lam - s.lam) / (t.lam - s.lam)  # of the level that was evaluated
        x = _first_order(x, eps + (0.5 / share) * (eps_middle - eps), s, t)
    return x


@register("dpm-solver-3", order=3, calls_per_step=3, options=DPMSolver3Options)
def dpm_solver_3(
    evaluate: Evaluate[S],
    x: S,
    levels: Sequence[Level],
    process: Process,
    *,
    options: DPMSolver3Options,
) -> S:
    """Three evaluations per step. Ref: Lu et al. 2022 (DPM-Solver), algorithm 2."""
    for s, t in pairwise(levels):
        first = inner_level(process, s, t, options.r1)
        second = inner_level(process, s, t, options.r2)
        h, h1, h2 = t.lam - s.lam, first.lam - s.lam, second.lam - s.lam
        eps = _noise_at(evaluate, x, s)
        change = _noise_at(evaluate, _first_order(x, eps, s, first), first) - eps
        x_second = _first_order(x, eps, s, second) - _curving(second, h2, h1) * change
        change = _noise_at(evaluate, x_second, second) - eps
        x = _first_order(x, eps, s, t) - _curving(t, h, h2) * change
    return x


def _first_order(x: S, eps: S, s: Level, t: Level) -> S:
    """From `s` to `t` with constant noise, which is DDIM."""
    return (t.alpha / s.alpha) * x - (t.sigma * math.expm1(t.lam - s.lam)) * eps


def _curving(t: Level, h: float, h_inner: float) -> float:
    """Weight in a step of length `h` to `t` of a change of noise over its first `h_inner`."""
    return t.sigma * (h / h_inner) * h * phi(2, h)


def _noise_at(evaluate: Evaluate[S], x: S, at: Level) -> S:
    """The predicted noise."""
    return (x - at.alpha * evaluate(x, at)) / at.sigma
