"""Multistep methods on predicted noise: the flow in rho, stepped with what past calls predicted.

With v = x / alpha the flow is dv / drho = eps, whatever the process, so a method is a choice of
weights. Ref: Zhang, Chen 2023 (DEIS).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import TypeAlias

from fewstep.level import Level
from fewstep.solvers.adams_bashforth import MAX_ORDER
from fewstep.solvers.base import Evaluate, S

# (position of the step, from 0) -> what the noise predictions, newest first, count in it.
StepWeights: TypeAlias = Callable[[int], Sequence[float]]


def predicted_noise(evaluate: Evaluate[S], v: S, at: Level) -> S:
    """eps = dv / drho = (v - denoised) / rho, for v = x / alpha."""
    return (v - evaluate(at.alpha * v, at)) / at.rho


def advance_with_history(
    evaluate: Evaluate[S],
    v: S,
    levels: Sequence[Level],
    weights: StepWeights,
    history: Iterable[S] = (),
) -> S:
    """v at the last level: each step adds the weighted sum of the newest predictions.

    A step uses as many predictions as it has weights; none may ask for more than there are:
    one for each step so far, this one included, after those of `history` (newest first).
    """
    predictions = deque(history, maxlen=MAX_ORDER)
    for i, s in enumerate(levels[:-1]):
        predictions.appendleft(predicted_noise(evaluate, v, s))
        for weight, noise in zip(weights(i), predictions, strict=False):
            v = v + weight * noise
    return v


def step_sizes(levels: Sequence[Level]) -> list[float]:
    """h of every step: the change of rho, negative."""
    return [t.rho - s.rho for s, t in pairwise(levels)]
