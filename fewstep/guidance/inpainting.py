"""Inpainting: some pixels are known."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fewstep.denoisers.base import Denoiser
from fewstep.errors import InvalidInput
from fewstep.guidance.conditional import outside_inference_mode
from fewstep.guidance.measured import MeasuredGuidance


def inpainting(
    known: Tensor,
    mask: Tensor,
    *,
    denoiser: Denoiser | None = None,
    noise: Tensor | None = None,
) -> MeasuredGuidance:
    """Guidance towards known pixels; `denoiser` and `noise` as in `MeasuredGuidance`.

    Args:
        known: images (B, ...); what is outside the mask does not matter.
        mask: 1 or true where a pixel is known, shaped like `known` or broadcast to it.

    Raises:
        InvalidInput: the mask does not fit the images, or is neither 0 nor 1 somewhere.
    """
    if not _fits(mask, known):
        raise InvalidInput(
            f"mask: shape {tuple(mask.shape)} does not fit known images of {tuple(known.shape)}; "
            "allowed: their shape, or 1 instead of some of its sizes",
            field="mask",
        )
    if not bool(((mask == 0) | (mask == 1)).all()):
        raise InvalidInput("mask: allowed: 0 and 1 alone", field="mask")
    mask = outside_inference_mode(mask)
    return MeasuredGuidance(
        _Masked(mask), torch.where(mask.bool(), known, 0.0), denoiser=denoiser, noise=noise
    )


def _fits(mask: Tensor, known: Tensor) -> bool:
    return mask.dim() == known.dim() and all(
        size in (1, full) for size, full in zip(mask.shape, known.shape, strict=True)
    )


@dataclass(frozen=True, slots=True)
class _Masked:
    """A keeps the known pixels and sets the others to zero."""

    mask: Tensor

    def measure(self, x: Tensor) -> Tensor:
        return x * self.mask.to(x)

    def lift(self, residual: Tensor) -> Tensor:
        return residual * self.mask.to(residual)
