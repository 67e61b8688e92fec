"""What an ADM UNet costs under a configuration: multiply-adds and parameters, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fewstep.errors import InvalidInput
from fewstep.networks.adm.config import UNetConfig
from fewstep.networks.adm.layout import (
    Attention,
    Layer,
    Resample,
    Resampler,
    Residual,
    Stem,
    unet_layout,
)
from fewstep.networks.pruning.blocks import adm_blocks, named_layers
from fewstep.networks.pruning.configuration import NetworkConfiguration, kept_width


@dataclass(frozen=True, slots=True)
class Cost:
    """Multiply-adds of one call with one image, and parameters held."""

    macs: int = 0
    parameters: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.macs + other.macs, self.parameters + other.parameters)


@dataclass(frozen=True, slots=True)
class NetworkCost:
    """Cost by module path: every block, and what can never be cut."""

    parts: Mapping[str, Cost]

    @property
    def total(self) -> Cost:
        """Of the whole network."""
        return sum(self.parts.values(), start=Cost())


def adm_macs(
    config: UNetConfig,
    configuration: NetworkConfiguration,
    image_size: int | tuple[int, int],
) -> NetworkCost:
    """Count convolutions, linear layers and attention products; norms and the like cost nothing.

    Args:
        config: of the full network.
        configuration: what of it runs.
        image_size: side, or height and width.

    Raises:
        InvalidInput: the configuration or the size does not fit the network.
    """
    blocks = adm_blocks(config)
    configuration.check(blocks)
    widths = {block.name: kept_width(block, configuration.get(block.name)) for block in blocks}
    height, width = _sides(config, image_size)
    parts = _embedding(config)
    for name, layer in named_layers(config):
        height, width = _resized(height, width, layer)
        parts[name] = _layer(layer, widths.get(name, 0), height * width, config)
    head = unet_layout(config).head_channels
    parts["out"] = _norm(head) + _conv(3, head, config.out_channels, height * width)
    return NetworkCost(parts)


def _sides(config: UNetConfig, image_size: int | tuple[int, int]) -> tuple[int, int]:
    sides = (image_size, image_size) if isinstance(image_size, int) else image_size
    factor = config.downsample_factor
    if any(side < 1 or side % factor for side in sides):
        raise InvalidInput(
            f"image_size={image_size!r}: does not halve through all levels; allowed: positive "
            f"multiples of {factor}",
            field="image_size",
        )
    return sides


def _resized(height: int, width: int, layer: Layer) -> tuple[int, int]:
    """Size of the output: all of a resampling block runs behind its resampling."""
    resample: Resample = layer.resample if isinstance(layer, Residual | Resampler) else "none"
    if resample == "down":
        return height // 2, width // 2
    return (2 * height, 2 * width) if resample == "up" else (height, width)


def _embedding(config: UNetConfig) -> dict[str, Cost]:
    width = config.embedding_channels
    time = _conv(1, config.model_channels, width, 1) + _conv(1, width, width, 1)
    if config.num_classes is None:
        return {"time_embed": time}
    return {"time_embed": time, "label_emb": Cost(0, config.num_classes * width)}


def _layer(layer: Layer, inner: int, pixels: int, config: UNetConfig) -> Cost:
    match layer:
        case Stem():
            return _conv(3, layer.in_channels, layer.out_channels, pixels)
        case Residual():
            return _residual(layer, inner, pixels, config)
        case Attention():
            return _attention(layer.channels, inner, pixels)
        case Resampler():
            is_free = not config.conv_resample
            return Cost() if is_free else _conv(3, layer.channels, layer.channels, pixels)


def _residual(layer: Residual, inner: int, pixels: int, config: UNetConfig) -> Cost:
    is_same = layer.in_channels == layer.out_channels
    shortcut = Cost() if is_same else _conv(1, layer.in_channels, layer.out_channels, pixels)
    if not inner:
        return shortcut
    modulation = 2 * inner if config.use_scale_shift_norm else inner
    first = _norm(layer.in_channels) + _conv(3, layer.in_channels, inner, pixels)
    second = _norm(inner) + _conv(3, inner, layer.out_channels, pixels)
    return shortcut + first + _conv(1, config.embedding_channels, modulation, 1) + second


def _attention(channels: int, inner: int, pixels: int) -> Cost:
    if not inner:
        return Cost()
    products = Cost(2 * pixels**2 * inner)  # of queries with keys, of weights with values
    fused = _conv(1, channels, 3 * inner, pixels)
    return _norm(channels) + fused + products + _conv(1, inner, channels, pixels)


def _conv(side: int, in_channels: int, out_channels: int, pixels: int) -> Cost:
    """A convolution; with side 1 a linear layer on each pixel or token."""
    weights = side * side * in_channels * out_channels
    return Cost(weights * pixels, weights + out_channels)


def _norm(channels: int) -> Cost:
    return Cost(0, 2 * channels)
