"""Colourisation: the grey image is known."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fewstep.denoisers.base import Denoiser
from fewstep.errors import InvalidInput
from fewstep.guidance.measured import MeasuredGuidance
from fewstep.guidance.super_resolution import super_resolution

GREY_STAND_IN_FACTOR = 2


def colourisation(
    known: Tensor,
    *,
    channels: int,
    denoiser: Denoiser | None = None,
    noise: Tensor | None = None,
) -> MeasuredGuidance:
    """Guidance towards a grey image, the mean over the channels of the coloured one.

    Data of one channel have no colours to find. There the means of 2x2 blocks stand in: as much
    is lost of an image, three numbers of four instead of two of three.

    Args:
        known: grey images (B, 1, H, W), or (B, 1, H / 2, W / 2) for data of one channel.
        channels: of the data.
        denoiser: as in `MeasuredGuidance`.
        noise: as in `MeasuredGuidance`.

    Raises:
        InvalidInput: there are no channels, or `known` is no batch of grey images.
    """
    if channels < 1:
        raise InvalidInput(f"channels={channels}: allowed: 1 and more", field="channels")
    if known.dim() != 4 or known.shape[1] != 1:
        raise InvalidInput(
            f"known: shape {tuple(known.shape)}; allowed: grey images (B, 1, H, W)", field="known"
        )
    if channels == 1:
        return super_resolution(known, factor=GREY_STAND_IN_FACTOR, denoiser=denoiser, noise=noise)
    return MeasuredGuidance(_ChannelMean(channels), known, denoiser=denoiser, noise=noise)


@dataclass(frozen=True, slots=True)
class _ChannelMean:
    """A takes the mean over the channels; lift gives every channel that number."""

    channels: int

    def measure(self, x: Tensor) -> Tensor:
        return x.mean(dim=1, keepdim=True)

    def lift(self, residual: Tensor) -> Tensor:
        return residual.expand(-1, self.channels, *residual.shape[2:])
