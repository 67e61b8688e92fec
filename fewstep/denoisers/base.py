"""What a denoiser is: the one face that every network shows to the solvers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from fewstep.level import Level
from fewstep.solvers import Kind


@dataclass(frozen=True, slots=True)
class StackedLevel:
    """One level per row of a batch: float64 tensors of shape (B,).

    `network_time` is what the network gets as its time; it is kept in float64 up to the network,
    so that the integer indices of discrete models arrive exactly.
    """

    t: Tensor
    alpha: Tensor
    sigma: Tensor
    network_time: Tensor

    @classmethod
    def of(
        cls, level: Level, network_time: float, batch: int, device: torch.device
    ) -> StackedLevel:
        """The same level for every row."""
        values = (level.t, level.alpha, level.sigma, network_time)
        return cls(
            *(torch.full((batch,), value, dtype=torch.float64, device=device) for value in values)
        )

    def coefficients(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Alpha and sigma in the type of `x`, shaped to multiply it."""
        shape = (-1,) + (1,) * (x.dim() - 1)
        return self.alpha.to(x.dtype).view(shape), self.sigma.to(x.dtype).view(shape)


class Denoiser(Protocol):
    """Predicts the clean data from noisy states.

    Clipping, thresholding and guidance live inside: `denoised` is the prediction as it is used.
    """

    def __call__(self, x: Tensor, at: StackedLevel, kind: Kind = "denoised") -> Tensor:
        """The prediction for states `x` of shape (B, ...) in process scale, shaped like `x`."""
        ...
