"""Guidance by a linear measurement of the clean data: what inpainting and its kin share."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from fewstep.denoisers.base import Denoiser, StackedLevel
from fewstep.errors import InvalidInput
from fewstep.guidance.conditional import gradient_of, outside_inference_mode


class Measurement(Protocol):
    """A linear map A of data, and a map back with A lift(r) = r for every r that A can give."""

    def measure(self, x: Tensor) -> Tensor:
        """A x for data of shape (B, C, ...)."""
        ...

    def lift(self, residual: Tensor) -> Tensor:
        """Data that measure as `residual`, and are zero where A says nothing."""
        ...


class MeasuredGuidance:
    """How well states agree with a measurement y = A x0.

    Without a denoiser the noisy state itself is compared, -|A x - alpha y|^2 / 2: no network is in
    the gradient. With one it is the denoised prediction, -|A denoised - y|^2: the gradient runs
    through the network. `impute` puts in the known part, x + lift(alpha y + sigma A xi - A x).

    Ref: the tasks of Wizadwongsa, Suwajanakorn 2023; Chung et al. 2022 (manifold constrained
    gradient) for the potential through the denoised prediction.

    Args:
        measurement: A.
        known: y, as A gives it.
        denoiser: compare its prediction without guidance instead of the state.
        noise: xi, one fixed unit-normal term shaped like the states; needed by `impute` alone.

    Raises:
        InvalidInput: a number of `known` or `noise` is not finite.
    """

    def __init__(
        self,
        measurement: Measurement,
        known: Tensor,
        *,
        denoiser: Denoiser | None = None,
        noise: Tensor | None = None,
    ) -> None:
        self._measurement = measurement
        self._known = outside_inference_mode(check_finite("known", known))
        self._denoiser = denoiser
        self._noise = None if noise is None else check_finite("noise", noise)

    def value(self, x: Tensor, at: StackedLevel) -> Tensor:
        """Minus the squared distance to the measurement, shape (B,)."""
        if self._denoiser is not None:
            clean = self._denoiser(x, at, "base")
            return -self._residual(clean, 1.0).square().flatten(1).sum(dim=1)
        alpha, _ = at.coefficients(x)
        return -0.5 * self._residual(x, alpha).square().flatten(1).sum(dim=1)

    def gradient(self, x: Tensor, at: StackedLevel) -> Tensor:
        """Its gradient with respect to the states."""
        return gradient_of(self.value, x, at)

    def impute(self, x: Tensor, at: StackedLevel) -> Tensor:
        """The states with the known part, at its noise, in place of their own.

        Raises:
            InvalidInput: there is noise at the level, but no noise term was given.
        """
        alpha, sigma = at.coefficients(x)
        residual = self._residual(x, alpha)
        if bool((at.sigma > 0.0).any()):
            if self._noise is None:
                raise InvalidInput(
                    "noise: what is known cannot be put in without a noise term; allowed: a tensor "
                    "shaped like the states",
                    field="noise",
                )
            residual = residual - self._measurement.measure(sigma * self._noise.to(x))
        return x - self._measurement.lift(residual)

    def _residual(self, x: Tensor, alpha: Tensor | float) -> Tensor:
        measured = self._measurement.measure(x)
        if self._known.shape != measured.shape:
            raise InvalidInput(
                f"known: shape {tuple(self._known.shape)}; allowed: {tuple(measured.shape)}, what "
                f"states of shape {tuple(x.shape)} measure as",
                field="known",
            )
        return measured - alpha * self._known.to(x)


def check_finite(name: str, tensor: Tensor) -> Tensor:
    """The tensor, where all its numbers are finite.

    Raises:
        InvalidInput: one is not.
    """
    if not bool(tensor.isfinite().all()):
        raise InvalidInput(f"{name}: not all finite; allowed: finite numbers", field=name)
    return tensor
