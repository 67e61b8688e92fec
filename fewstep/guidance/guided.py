"""A denoiser under the guidance of a conditional function."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from fewstep.denoisers.base import Denoiser, StackedLevel
from fewstep.errors import InvalidInput
from fewstep.guidance.conditional import ConditionalFunction
from fewstep.solvers import Kind


def guided(denoiser: Denoiser, condition: ConditionalFunction, *, scale: float) -> Denoiser:
    """A denoiser that answers every kind, so that unsplit and split solvers run on it.

    `base` is the denoiser's own prediction, clipped as it clips; `gradient` is scale * gradient of
    the condition; `denoised` = base + sigma^2 / alpha * gradient, which is not clipped again, as
    published; `impute` is the condition's.

    Ref: Dhariwal, Nichol 2021, algorithm 2: eps - scale * sigma * gradient.

    Raises:
        InvalidInput: the scale is negative or no finite number.
    """
    return _Guided(denoiser, condition, check_scale(scale))


def check_scale(scale: float) -> float:
    """The scale of guidance, where it is one.

    Raises:
        InvalidInput: it is negative or no finite number.
    """
    if not (math.isfinite(scale) and scale >= 0.0):
        raise InvalidInput(f"scale={scale!r}: allowed: finite, 0 and more", field="scale")
    return float(scale)


@dataclass(frozen=True, slots=True)
class _Guided:
    denoiser: Denoiser
    condition: ConditionalFunction
    scale: float

    def __call__(self, x: Tensor, at: StackedLevel, kind: Kind = "denoised") -> Tensor:
        if kind == "impute":
            return self.condition.impute(x, at)
        if kind == "gradient":
            return self.scale * self.condition.gradient(x, at)
        base = self.denoiser(x, at, "base")
        if kind == "base":
            return base
        alpha, sigma = at.coefficients(x)
        return base + (self.scale * sigma**2 / alpha) * self.condition.gradient(x, at)
