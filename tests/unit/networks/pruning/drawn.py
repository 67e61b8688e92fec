"""Networks and configurations that hypothesis draws, as plain values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

from fewstep.networks.adm.config import UNetConfig
from fewstep.networks.pruning.blocks import PrunableBlock
from fewstep.networks.pruning.configuration import BlockChoice, NetworkConfiguration

Draw = Callable[[st.SearchStrategy[Any]], Any]


def _subset(draw: Draw, count: int, *, size: int | None = None) -> tuple[int, ...]:
    low, high = (1, count) if size is None else (size, size)
    picked = draw(st.sets(st.integers(0, count - 1), min_size=low, max_size=high))
    return tuple(sorted(picked))


def _channels(draw: Draw, block: PrunableBlock) -> tuple[int, ...]:
    size, width = draw(st.integers(1, block.unit_width)), block.unit_width
    return tuple(
        group * width + index
        for group in range(block.units)
        for index in _subset(draw, width, size=size)
    )


@st.composite
def choices(draw: Draw, block: PrunableBlock) -> BlockChoice:
    """Any legal choice for a block."""
    cuts = {"residual": ["groups", "channels"], "attention": ["heads"], "feed-forward": ["hidden"]}
    mode = draw(st.sampled_from([*cuts[block.kind], "removed"]))
    if mode == "removed":
        return BlockChoice("removed")
    if mode == "channels":
        return BlockChoice("channels", _channels(draw, block))
    return BlockChoice(mode, _subset(draw, block.units))


@st.composite
def configurations(draw: Draw, blocks: Sequence[PrunableBlock]) -> NetworkConfiguration:
    """Any legal configuration that reuses nothing."""
    chosen = draw(st.sets(st.sampled_from(list(blocks))))
    ordered = sorted(chosen, key=lambda block: block.name)
    return NetworkConfiguration.of({block.name: draw(choices(block)) for block in ordered})


@st.composite
def unet_configs(draw: Draw) -> UNetConfig:
    """Small ADM networks with any options."""
    return UNetConfig(
        in_channels=draw(st.integers(1, 3)),
        model_channels=draw(st.sampled_from([8, 16])),
        out_channels=draw(st.integers(1, 4)),
        num_res_blocks=draw(st.integers(1, 2)),
        attention_resolutions=draw(st.sampled_from([(), (1,), (2,), (1, 2)])),
        channel_mult=draw(st.sampled_from([(1,), (1, 2), (2, 1), (1, 1.5)])),
        conv_resample=draw(st.booleans()),
        num_classes=draw(st.sampled_from([None, 3])),
        num_heads=draw(st.sampled_from([1, 2])),
        num_head_channels=draw(st.sampled_from([None, 4])),
        num_heads_upsample=draw(st.sampled_from([None, 4])),
        use_scale_shift_norm=draw(st.booleans()),
        resblock_updown=draw(st.booleans()),
        use_new_attention_order=draw(st.booleans()),
        norm_groups=draw(st.sampled_from([2, 4])),
    )
