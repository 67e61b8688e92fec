"""Super-resolution: the means of square blocks are known."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import avg_pool2d

from fewstep.denoisers.base import Denoiser
from fewstep.errors import InvalidInput
from fewstep.guidance.measured import MeasuredGuidance


def super_resolution(
    known: Tensor,
    *,
    factor: int,
    denoiser: Denoiser | None = None,
    noise: Tensor | None = None,
) -> MeasuredGuidance:
    """Guidance towards a small image; `denoiser` and `noise` as in `MeasuredGuidance`.

    Block means stand in for an antialiased bicubic reduction: at 8 to 32 pixels its kernel would
    mostly see the border.

    Args:
        known: small images (B, C, H / factor, W / factor).
        factor: how many pixels a block is wide and high, 2 and more.

    Raises:
        InvalidInput: the factor is below 2, or `known` is no batch of images.
    """
    if factor < 2:
        raise InvalidInput(f"factor={factor}: allowed: 2 and more", field="factor")
    if known.dim() != 4:
        raise InvalidInput(
            f"known: shape {tuple(known.shape)}; allowed: images (B, C, H, W)", field="known"
        )
    return MeasuredGuidance(_BlockMean(factor), known, denoiser=denoiser, noise=noise)


@dataclass(frozen=True, slots=True)
class _BlockMean:
    """A takes the mean of each block; lift fills each block with its number."""

    factor: int

    def measure(self, x: Tensor) -> Tensor:
        if x.dim() != 4 or x.shape[2] % self.factor or x.shape[3] % self.factor:
            raise InvalidInput(
                f"factor={self.factor}: does not divide states of shape {tuple(x.shape)}; allowed: "
                "divisors of height and width",
                field="factor",
            )
        return avg_pool2d(x, self.factor)

    def lift(self, residual: Tensor) -> Tensor:
        return residual.repeat_interleave(self.factor, 2).repeat_interleave(self.factor, 3)
