"""Heun's method in rho, the deterministic sampler of EDM."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from fewstep.level import Level
from fewstep.process.base import Process
from fewstep.solvers.base import Evaluate, S, register
from fewstep.solvers.noise_history import predicted_noise
from fewstep.solvers.options import Options


@register("heun", order=2, calls_per_step=2)
def heun(
    evaluate: Evaluate[S], x: S, levels: Sequence[Level], process: Process, *, options: Options
) -> S:
    """Second-order Runge-Kutta in rho. Ref: Karras et al. 2022 (EDM), algorithm 1 (no churn)."""
    v = x / levels[0].alpha
    for s, t in pairwise(levels):  # trace() takes the last step, to the clean level
        v = heun_step(evaluate, v, s, t)
    return levels[-1].alpha * v


def heun_step(evaluate: Evaluate[S], v: S, s: Level, t: Level) -> S:
    """Take v = x / alpha from `s` to the noisy level `t` with the mean of the slopes at both."""
    h = t.rho - s.rho
    slope = predicted_noise(evaluate, v, s)
    v_euler = v + h * slope
    return v + (0.5 * h) * (slope + predicted_noise(evaluate, v_euler, t))
