"""The widths that a search tries for each block, from full to no body; and where blocks are."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from fewstep.errors import InvalidInput
from fewstep.networks.adm.config import UNetConfig
from fewstep.networks.adm.layout import Resample, Resampler, Residual
from fewstep.networks.pruning.blocks import PrunableBlock, adm_blocks, named_layers
from fewstep.networks.pruning.configuration import BlockChoice, Mode

RESIDUAL_EIGHTHS = (8, 7, 6, 5, 4)
"""Widths of residual blocks: below half a network that was never trained for it is useless."""

FEED_FORWARD_EIGHTHS = (8, 7, 6, 5, 4, 3, 2, 1)

_CUT: dict[str, Mode] = {"residual": "groups", "attention": "heads", "feed-forward": "hidden"}
_SECTIONS = {
    "input_blocks": "encoder",
    "down_blocks": "encoder",
    "middle_block": "middle",
    "mid_block": "middle",
    "output_blocks": "decoder",
    "up_blocks": "decoder",
}


@dataclass(frozen=True, slots=True)
class Ladder:
    """What one block may be, best first.

    Attributes:
        block: Whose.
        units: Units kept at the places that have a body, strictly decreasing, the first all.
        bodiless: What follows without a body: reused before removed, which costs the same and is
            usually worse.
    """

    block: PrunableBlock
    units: tuple[int, ...]
    bodiless: tuple[Mode, ...] = ()

    @property
    def size(self) -> int:
        """How many places there are."""
        return len(self.units) + len(self.bodiless)

    @property
    def can_be_reused(self) -> bool:
        """Whether one of the places is a reused body."""
        return "reused" in self.bodiless

    def has_body(self, place: int) -> bool:
        """Whether anything of the body runs at a place."""
        return place < len(self.units)

    def is_reused(self, place: int) -> bool:
        """Whether a place is a reused body."""
        return not self.has_body(place) and self.bodiless[place - len(self.units)] == "reused"

    def choice(self, place: int, order: Sequence[int]) -> BlockChoice:
        """What a place keeps of units ordered by importance, the most important first."""
        if not self.has_body(place):
            return BlockChoice(self.bodiless[place - len(self.units)])
        return BlockChoice(_CUT[self.block.kind], tuple(sorted(order[: self.units[place]])))

    def place_of(self, eighths: int) -> int:
        """The place nearest to so many eighths of the units, of those with a body."""
        wanted = _share(self.block.units, eighths)
        return min(
            range(len(self.units)), key=lambda place: (abs(self.units[place] - wanted), place)
        )


def ladders_of(
    blocks: Sequence[PrunableBlock],
    *,
    removable: Collection[str] = (),
    reusable: Collection[str] = (),
) -> tuple[Ladder, ...]:
    """The ladder of each block.

    Raises:
        InvalidInput: a name is no block, or one whose body cannot go.
    """
    allowed = removable_names(blocks)
    for field, names in (("removable", removable), ("reusable", reusable)):
        unknown = sorted(set(names) - set(allowed))
        if unknown:
            raise InvalidInput(
                f"{field}={unknown[0]!r}: no block whose body may go; allowed: "
                + (", ".join(allowed) or "none"),
                field="architecture",
            )
    return tuple(
        Ladder(
            block,
            _units(block),
            _bodiless(is_reusable=block.name in reusable, is_removable=block.name in removable),
        )
        for block in blocks
    )


def removable_names(blocks: Sequence[PrunableBlock]) -> tuple[str, ...]:
    """Names of the blocks that may lose their body."""
    return tuple(block.name for block in blocks if block.can_be_removed)


def section_of(name: str) -> str:
    """Encoder, middle or decoder, by the first part of a module path; that part where unknown."""
    first = name.split(".")[0]
    return _SECTIONS.get(first, first)


def adm_sections(config: UNetConfig) -> tuple[str, ...]:
    """For each block of an ADM UNet its part and level, such as `encoder.0`; level 0 is finest.

    A block that resamples belongs to the level that it leaves.
    """
    prunable = {block.name for block in adm_blocks(config)}
    level, labels = 0, []
    for name, layer in named_layers(config):
        part = section_of(name)
        if name in prunable:
            labels.append(part if part == "middle" else f"{part}.{level}")
        resample: Resample = layer.resample if isinstance(layer, Residual | Resampler) else "none"
        level += {"none": 0, "down": 1, "up": -1}[resample]
    return tuple(labels)


def _units(block: PrunableBlock) -> tuple[int, ...]:
    """Numbers of units kept, strictly decreasing from all of them."""
    if block.kind == "attention":
        return tuple(range(block.units, 0, -1))
    eighths = RESIDUAL_EIGHTHS if block.kind == "residual" else FEED_FORWARD_EIGHTHS
    return tuple(dict.fromkeys(_share(block.units, part) for part in eighths))


def _share(units: int, eighths: int) -> int:
    """So many eighths, rounded to whole units, at least one."""
    return max(1, (units * eighths + 4) // 8)


def _bodiless(*, is_reusable: bool, is_removable: bool) -> tuple[Mode, ...]:
    reused: tuple[Mode, ...] = ("reused",) if is_reusable else ()
    removed: tuple[Mode, ...] = ("removed",) if is_removable else ()
    return reused + removed
