"""Which layers an ADM UNet has, block by block, as plain values.

The network and its table of tensor shapes are both built from this list, so that a checkpoint
can be checked without torch, and an architecture can be changed in one place.
Ref: Dhariwal & Nichol 2021, section 3; keys follow the public guided-diffusion `UNetModel`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fewstep.networks.adm.config import UNetConfig
from fewstep.networks.adm.encoder_config import EncoderConfig

Resample = Literal["none", "down", "up"]


@dataclass(frozen=True, slots=True)
class Stem:
    """The first 3x3 convolution."""

    in_channels: int
    out_channels: int


@dataclass(frozen=True, slots=True)
class Residual:
    """A residual block; `inner_channels` is the width between its two convolutions."""

    in_channels: int
    inner_channels: int
    out_channels: int
    resample: Resample = "none"


@dataclass(frozen=True, slots=True)
class Attention:
    """Self-attention over all pixels."""

    channels: int
    num_heads: int


@dataclass(frozen=True, slots=True)
class Resampler:
    """A change of resolution by two, outside of residual blocks."""

    channels: int
    resample: Resample


Layer = Stem | Residual | Attention | Resampler
Block = tuple[Layer, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """All blocks of a UNet; output block i reads [h ; skip], the skips taken last in, first out."""

    input_blocks: tuple[Block, ...]
    middle_block: Block
    output_blocks: tuple[Block, ...]
    head_channels: int


@dataclass(frozen=True, slots=True)
class EncoderLayout:
    """The blocks of an encoder: those of a UNet down to its middle."""

    input_blocks: tuple[Block, ...]
    middle_block: Block
    block_channels: tuple[int, ...]  # of what each block puts out, the middle's last

    @property
    def out_channels(self) -> int:
        """Channels of what the middle puts out."""
        return self.block_channels[-1]


def unet_layout(config: UNetConfig) -> Layout:
    """List the blocks of a UNet with these options."""
    inputs, skips = _encoder(config)
    decoder = tuple(_decoder(config, skips))
    return Layout(tuple(inputs), _middle(config, skips[-1]), decoder, config.widths[0])


def encoder_layout(config: EncoderConfig) -> EncoderLayout:
    """List the blocks of an encoder with these options."""
    inputs, channels = _encoder(config.torso)
    middle = _middle(config.torso, channels[-1])
    return EncoderLayout(tuple(inputs), middle, (*channels, channels[-1]))


def _middle(config: UNetConfig, channels: int) -> Block:
    return (
        Residual(channels, channels, channels),
        Attention(channels, config.heads(channels)),
        Residual(channels, channels, channels),
    )


def _encoder(config: UNetConfig) -> tuple[list[Block], list[int]]:
    """The input blocks, and the channels each of them puts on the skip stack."""
    channels = config.widths[0]
    blocks: list[Block] = [(Stem(config.in_channels, channels),)]
    skips = [channels]
    for level, width in enumerate(config.widths):
        for _ in range(config.num_res_blocks):
            blocks.append(_residual(config, level, channels, width, decoder=False))
            channels = width
            skips.append(channels)
        if level + 1 < len(config.widths):
            blocks.append((_resampler(config, channels, "down"),))
            skips.append(channels)
    return blocks, skips


def _decoder(config: UNetConfig, skips: list[int]) -> list[Block]:
    channels, stack = skips[-1], list(skips)
    blocks: list[Block] = []
    for level, width in reversed(list(enumerate(config.widths))):
        for index in range(config.num_res_blocks + 1):
            block = _residual(config, level, channels + stack.pop(), width, decoder=True)
            channels = width
            if level and index == config.num_res_blocks:
                block = (*block, _resampler(config, channels, "up"))
            blocks.append(block)
    return blocks


def _residual(
    config: UNetConfig, level: int, in_channels: int, width: int, *, decoder: bool
) -> Block:
    block = Residual(in_channels, width, width)
    if 2**level not in config.attention_resolutions:
        return (block,)
    return (block, Attention(width, config.heads(width, decoder=decoder)))


def _resampler(config: UNetConfig, channels: int, resample: Resample) -> Layer:
    if config.resblock_updown:
        return Residual(channels, channels, channels, resample)
    return Resampler(channels, resample)
