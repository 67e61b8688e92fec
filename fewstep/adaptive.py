"""An adaptive reference for the probability flow: Dormand-Prince with error control.

It chooses its levels from the states, so it is no solver that could become a program; it is what
fixed grids are compared with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from fewstep.denoisers.base import Denoiser, StackedLevel
from fewstep.errors import InvalidInput
from fewstep.level import Level
from fewstep.process.base import Process

# Dormand and Prince 1980, RK5(4)7M: nodes, stages, and the error weights b - b_hat. The last stage
# row holds the fifth-order weights b, so its slope is the first of the next step.
_NODES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
_ERROR_EXPONENT = 1.0 / 5.0
_SAFETY, _MIN_FACTOR, _MAX_FACTOR = 0.9, 0.2, 10.0
_FIRST_STEP = 0.01  # in log rho; error control corrects a bad guess within a few steps

_Slope = Callable[[float, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class FlowResult:
    """The states at the end, in process scale, and the denoiser calls they took per sample."""

    x: Tensor
    calls: int


def probability_flow(
    denoiser: Denoiser,
    x: Tensor,
    *,
    process: Process,
    start: float,
    end: float,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    max_calls: int = 10_000,
) -> FlowResult:
    """Follow the probability flow from `start` to `end`, steps chosen by an error estimate.

    dv / dlog(rho) = v - denoised for v = x / alpha. One error norm holds for the whole batch: the
    root of the mean square, over all entries, of the estimate over atol + rtol |v|. So the calls,
    and to within the tolerance the results, depend on who is in the batch.
    Ref: Dormand, Prince 1980; step control of Hairer et al., Solving ODEs I, II.4.

    Args:
        denoiser: the model; asked for its `denoised` prediction.
        x: states of shape (B, ...) at `start`, in process scale.
        process: the noise process.
        start: process time of `x`.
        end: process time to stop at, below `start` and above 0, where log rho ends.
        rtol: relative tolerance, at least 1e-13 in float64.
        atol: absolute tolerance in units of clean data.
        max_calls: most denoiser calls allowed.

    Raises:
        InvalidInput: times or tolerances are not allowed, or `max_calls` were not enough.
    """
    first, last = process.at(start), process.at(end)
    _check(start, end, last, rtol, atol)
    flow = _Flow(denoiser, process, x.shape[0], max_calls)
    v = integrate(
        flow.slope, x / first.alpha, math.log(first.rho), math.log(last.rho), rtol=rtol, atol=atol
    )
    return FlowResult(last.alpha * v, flow.calls)


@dataclass(slots=True)
class _Flow:
    """The right-hand side, which counts and limits its calls."""

    denoiser: Denoiser
    process: Process
    batch: int
    max_calls: int
    calls: int = 0

    def slope(self, log_rho: float, v: Tensor) -> Tensor:
        """dv / dlog(rho)."""
        if self.calls >= self.max_calls:
            raise InvalidInput(
                f"max_calls={self.max_calls}: the flow is only at rho={math.exp(log_rho):.4g}; "
                "allowed: more calls, or larger rtol and atol",
                field="max_calls",
            )
        self.calls += 1
        level = self.process.at_rho(math.exp(log_rho))
        at = StackedLevel.of(level, self.process.network_time(level.t), self.batch, v.device)
        return v - self.denoiser(level.alpha * v, at)


def integrate(
    slope: _Slope, v: Tensor, u: float, end: float, *, rtol: float, atol: float
) -> Tensor:
    """Follow dv / du = slope(u, v) from `u` down to `end`: log rho, or what replaces it."""
    k, h = slope(u, v), _FIRST_STEP
    while u > end:
        is_last = u - h <= end
        h = u - end if is_last else h
        v_next, error, k_next = _step(slope, v, k, u, -h)
        scale = atol + rtol * v.abs().maximum(v_next.abs())
        norm = float((error / scale).square().mean().sqrt())
        if norm <= 1.0:
            v, k, u = v_next, k_next, end if is_last else u - h
        h *= _step_factor(norm)
    return v


def _step(slope: _Slope, v: Tensor, k: Tensor, u: float, h: float) -> tuple[Tensor, Tensor, Tensor]:
    """The state after a step of `h` (negative) in log rho, its error estimate and its slope."""
    slopes, stage = [k], v
    for node, row in zip(_NODES, _STAGES, strict=True):
        stage = v + h * _combine(row, slopes)
        slopes.append(slope(u + node * h, stage))
    return stage, h * _combine(_ERROR, slopes), slopes[-1]


def _combine(row: Sequence[float], slopes: Sequence[Tensor]) -> Tensor:
    """Sum of weight times slope."""
    total = row[0] * slopes[0]
    for weight, one in zip(row[1:], slopes[1:], strict=True):
        total = total + weight * one
    return total


def _step_factor(norm: float) -> float:
    """How much longer the next step may be; a norm that is no number shortens it."""
    if norm == 0.0:
        return _MAX_FACTOR
    if not math.isfinite(norm):
        return _MIN_FACTOR
    return min(_MAX_FACTOR, max(_MIN_FACTOR, _SAFETY * math.pow(norm, -_ERROR_EXPONENT)))


def _check(start: float, end: float, last: Level, rtol: float, atol: float) -> None:
    if not end < start or last.is_clean:
        raise InvalidInput(
            f"end={end!r}: allowed: times above 0, which is clean, and below start={start!r}",
            field="end",
        )
    for name, value in (("rtol", rtol), ("atol", atol)):
        if not (math.isfinite(value) and value > 0.0):
            raise InvalidInput(f"{name}={value!r}: allowed: finite numbers above 0", field=name)
