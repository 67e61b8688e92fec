"""The layers of the classifier of small colour photographs, whose activations are its features."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, silu

_MOMENTUM = 0.1  # of the running statistics, one step
_EPSILON = 1e-5


def colour_trunk(widths: tuple[int, ...], num_features: int) -> nn.Module:
    """Map (B, 3, H, W) in [-1, 1] to features (B, num_features).

    A level per width, each after the first at half the side: one layer to the new width and one
    with a shortcut around it. Smooth activations and average pooling, so that features move little
    with small changes of an image.

    Args:
        widths: channels per level, finest first.
        num_features: width of the result.
    """
    levels: list[nn.Module] = [_Layer(3, widths[0]), _Residual(_Layer(widths[0], widths[0]))]
    for above, width in pairwise(widths):
        levels += [nn.AvgPool2d(2), _Layer(above, width), _Residual(_Layer(width, width))]
    pooled = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*levels, *pooled, nn.Linear(widths[-1], num_features), nn.SiLU())


class _Layer(nn.Module):
    """A 3x3 convolution, batch normalization with a shift but no scale, SiLU.

    Not `nn.BatchNorm2d`: that counts its batches in an integer, which a file in half precision
    cannot hold and which only an average over all batches would need.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
        self.shift = nn.Parameter(torch.zeros(channels_out))
        self.register_buffer("mean", torch.zeros(channels_out))
        self.register_buffer("variance", torch.ones(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        normal = batch_norm(
            self.conv(x), self.mean, self.variance,
            bias=self.shift, training=self.training, momentum=_MOMENTUM, eps=_EPSILON,
        )  # fmt: skip
        return silu(normal)


class _Residual(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = x + self.layer(x)
        return changed
