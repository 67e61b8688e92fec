"""The two parts of the guided flow that split solvers advance one by one.

In v = x / alpha over rho the guided flow is dv / drho = D + C: the diffusion part D is the noise
that the unguided model predicts, the condition part is C = -sigma * gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Generic

from fewstep.level import Level
from fewstep.solvers.adams_bashforth import constant_weights, lagrange_weights
from fewstep.solvers.base import Evaluate, S
from fewstep.solvers.splitting_options import MAX_ORDER, SplitOptions


@dataclass(frozen=True, slots=True)
class Slope(Generic[S]):
    """One value of a part, and the rho at which the step that evaluated it starts."""

    rho: float
    value: S


@dataclass(frozen=True, slots=True)
class Kick:
    """One step of the condition part, from rho `start` to `stop`.

    `at` is the level that the gradient is asked for, `alpha` scales the state it gets, `sigma` is
    its factor. They differ from one level's own numbers where the published schemes do so.
    """

    at: Level
    alpha: float
    sigma: float
    start: float
    stop: float


class DiffusionPart(Generic[S]):
    """Adams-Bashforth on the noise that the unguided model predicts, with a ramp at the start.

    Ref: Wizadwongsa, Suwajanakorn 2023, PLMS; weights as in Liu et al. 2022 (PNDM), eq. 12.
    """

    def __init__(self, evaluate: Evaluate[S], options: SplitOptions) -> None:
        self._evaluate = evaluate
        self._options = options
        self._history: tuple[Slope[S], ...] = ()

    def slope(self, v: S, step: int, s: Level, t: Level) -> S:
        """The mean of D over the step from `s` to `t`; evaluates the model at `v` and `s`."""
        noise = (v - self._evaluate(s.alpha * v, s, "base")) / s.rho
        self._history = (Slope(s.rho, noise), *self._history)[:MAX_ORDER]
        return _extrapolated(self._history, self._options.order[step], t.rho, self._options)


class ConditionPart(Generic[S]):
    """Euler on guidance, or Adams-Bashforth with a history of its own."""

    def __init__(self, evaluate: Evaluate[S], options: SplitOptions) -> None:
        self._evaluate = evaluate
        self._options = options
        self._history: tuple[Slope[S], ...] = ()
        self._slope: S | None = None  # the last one used

    def advance(self, v: S, step: int, kick: Kick) -> S:
        """Take `v` along the condition part; `step` says whose choice of `gradient` counts."""
        choice = self._options.gradient[step]
        if choice == "omit":
            return v
        if self._slope is None or choice == "evaluate":
            self._slope = self._next_slope(v, kick)
        return v + (kick.stop - kick.start) * self._slope

    def _next_slope(self, v: S, kick: Kick) -> S:
        current = self._at(v, kick)
        momentum = self._options.cond_momentum
        if self._slope is not None and momentum != 1.0:  # GHVB
            return (1.0 - momentum) * self._slope + momentum * current
        self._history = (Slope(kick.start, current), *self._history)[:MAX_ORDER]
        return _extrapolated(self._history, self._options.order_cond, kick.stop, self._options)

    def _at(self, v: S, kick: Kick) -> S:
        if kick.sigma == 0.0:  # the clean level, where guidance does nothing
            return 0.0 * v
        return (-kick.sigma) * self._evaluate(kick.alpha * v, kick.at, "gradient")


def imputed(evaluate: Evaluate[S], v: S, t: Level, options: SplitOptions) -> S:
    """What is known put in, at the level that a step arrives at, if the options ask for it."""
    return evaluate(t.alpha * v, t, "impute") / t.alpha if options.impute else v


def _extrapolated(
    history: tuple[Slope[S], ...], order: int, stop: float, options: SplitOptions
) -> S:
    """The mean slope over the step from the newest value's rho to `stop`."""
    used = history[: _usable_order([past.rho for past in history[:order]], stop, options)]
    weights = _weights([past.rho for past in used], stop, options)
    total = weights[0] * used[0].value
    for weight, past in zip(weights[1:], used[1:], strict=True):
        total = total + weight * past.value
    return total


def _weights(nodes: list[float], stop: float, options: SplitOptions) -> tuple[float, ...]:
    if options.weights == "constant":
        return constant_weights(len(nodes))
    h = stop - nodes[0]
    return tuple(weight / h for weight in lagrange_weights(nodes, nodes[0], stop))


def _usable_order(nodes: list[float], stop: float, options: SplitOptions) -> int:
    """The order that earlier steps allow: how many there are, and how much they differ."""
    if not options.step_ratio:
        return len(nodes)
    steps = [start - end for end, start in pairwise([stop, *nodes])]
    uneven = any(max(a, b) > options.step_ratio * min(a, b) for a, b in pairwise(steps))
    return min(len(nodes), 2) if uneven else len(nodes)
