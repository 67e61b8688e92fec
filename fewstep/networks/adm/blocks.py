"""Residual blocks and resamplers of the ADM UNet."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from fewstep.networks.adm.config import UNetConfig
from fewstep.networks.adm.layout import Resample, Resampler, Residual
from fewstep.networks.adm.zeros import start_at_zero


def resize(x: Tensor, resample: Resample) -> Tensor:
    """Halve by averaging, double by repetition, or leave as it is."""
    if resample == "down":
        return avg_pool2d(x, 2)
    return interpolate(x, scale_factor=2, mode="nearest") if resample == "up" else x


class Conditioned(nn.Module):
    """A layer that is called with the embedding beside its input."""


class ResidualBlock(Conditioned):
    """Two convolutions with a shortcut; the embedding enters between them.

    With scale-shift norm the embedding scales and shifts the second norm's output, else it is
    added before that norm. A resampling block resizes after the first activation.
    """

    def __init__(self, layer: Residual, config: UNetConfig) -> None:
        super().__init__()
        inner, groups = layer.inner_channels, config.norm_groups
        self.resample: Resample = layer.resample
        self.scale_shift = config.use_scale_shift_norm
        self.in_layers = nn.Sequential(
            nn.GroupNorm(groups, layer.in_channels),
            nn.SiLU(),
            nn.Conv2d(layer.in_channels, inner, 3, padding=1),
        )
        modulation = 2 * inner if self.scale_shift else inner
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(config.embedding_channels, modulation))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(groups, inner),
            nn.SiLU(),
            nn.Dropout(config.dropout),
            start_at_zero(nn.Conv2d(inner, layer.out_channels, 3, padding=1)),
        )
        same = layer.in_channels == layer.out_channels
        self.skip_connection = (
            nn.Identity() if same else nn.Conv2d(layer.in_channels, layer.out_channels, 1)
        )

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Map (B, C_in, H, W) and the embedding (B, E) to (B, C_out, H', W')."""
        hidden = self.in_layers[1](self.in_layers[0](x))
        hidden = self.in_layers[2](resize(hidden, self.resample))
        modulation = self.emb_layers(embedding)[:, :, None, None]
        if self.scale_shift:
            scale, shift = modulation.chunk(2, dim=1)
            hidden = torch.addcmul(shift, self.out_layers[0](hidden), 1 + scale)
            hidden = self.out_layers[1:](hidden)
        else:
            hidden = self.out_layers(hidden + modulation)
        total: Tensor = self.skip_connection(resize(x, self.resample)) + hidden
        return total


class Downsample(nn.Module):
    """Halve the resolution, by a strided convolution or by averaging."""

    def __init__(self, layer: Resampler, *, convolve: bool) -> None:
        super().__init__()
        channels = layer.channels
        self.op: nn.Module = (
            nn.Conv2d(channels, channels, 3, stride=2, padding=1) if convolve else nn.AvgPool2d(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H/2, W/2)."""
        halved: Tensor = self.op(x)
        return halved


class Upsample(nn.Module):
    """Double the resolution by repetition, then convolve."""

    def __init__(self, layer: Resampler, *, convolve: bool) -> None:
        super().__init__()
        channels = layer.channels
        self.conv: nn.Module = (
            nn.Conv2d(channels, channels, 3, padding=1) if convolve else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, 2H, 2W)."""
        doubled: Tensor = self.conv(resize(x, "up"))
        return doubled
