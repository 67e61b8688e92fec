"""What may be cut in a UNet, block by block, as plain values.

Only widths inside a block are free: the trunk is tied through additions, skips and concatenations
to every other block of its level. Blocks are those whose bodies AutoDiffusion removes.
Ref: Li et al. 2023 (AutoDiffusion): residual and attention blocks, numbered as they run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from fewstep.networks.adm.config import UNetConfig
from fewstep.networks.adm.layout import Attention, Block, Layer, Residual, unet_layout

Kind = Literal["residual", "attention", "feed-forward"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunableBlock:
    """A block whose body may shrink or go; its units are what leaves as a whole.

    Attributes:
        name: Path of its module, such as `input_blocks.1.0`.
        kind: "residual": units are groups of the inner norm; "attention": heads; "feed-forward":
            hidden units.
        units: How many there are.
        unit_width: Inner channels of each.
        can_be_removed: Whether what is left without the body has the shape of the whole.
    """

    name: str
    kind: Kind
    units: int
    unit_width: int
    can_be_removed: bool = True

    @property
    def num_groups(self) -> int | None:
        """Groups of the norm over the inner channels; None where no norm reads them."""
        return self.units if self.kind == "residual" else None

    @property
    def width(self) -> int:
        """Inner channels of the full block."""
        return self.units * self.unit_width


def adm_blocks(config: UNetConfig) -> tuple[PrunableBlock, ...]:
    """All blocks of an ADM UNet in execution order: AutoDiffusion's ids are the places here."""
    return tuple(
        block
        for name, layer in named_layers(config)
        if (block := _prunable(name, layer, config)) is not None
    )


def named_layers(config: UNetConfig) -> Iterator[tuple[str, Layer]]:
    """Every layer between the embedding and the head, by module path, in execution order."""
    layout = unet_layout(config)
    yield from _numbered("input_blocks", layout.input_blocks)
    for index, layer in enumerate(layout.middle_block):
        yield f"middle_block.{index}", layer
    yield from _numbered("output_blocks", layout.output_blocks)


def _numbered(prefix: str, blocks: tuple[Block, ...]) -> Iterator[tuple[str, Layer]]:
    for outer, block in enumerate(blocks):
        for inner, layer in enumerate(block):
            yield f"{prefix}.{outer}.{inner}", layer


def _prunable(name: str, layer: Layer, config: UNetConfig) -> PrunableBlock | None:
    """Stem and plain resamplers are the trunk itself: nothing of them may go."""
    if isinstance(layer, Residual):
        groups = config.norm_groups
        return PrunableBlock(
            name=name, kind="residual", units=groups, unit_width=layer.inner_channels // groups
        )
    if isinstance(layer, Attention):
        heads = layer.num_heads
        return PrunableBlock(
            name=name, kind="attention", units=heads, unit_width=layer.channels // heads
        )
    return None
