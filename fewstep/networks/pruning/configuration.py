"""A network configuration: which part of each block runs, as canonical plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from fewstep.canonical import content_hash
from fewstep.errors import InvalidInput
from fewstep.networks.pruning.blocks import Kind, PrunableBlock

Mode = Literal["groups", "channels", "heads", "hidden", "removed", "reused"]
_BODILESS: tuple[Mode, ...] = ("removed", "reused")
_CUTS: dict[Kind, tuple[Mode, ...]] = {
    "residual": ("groups", "channels"),
    "attention": ("heads",),
    "feed-forward": ("hidden",),
}


@dataclass(frozen=True, slots=True)
class BlockChoice:
    """What of one block runs.

    Attributes:
        mode: "groups": whole groups of the inner norm are kept, which leaves the others' statistics
            alone. "channels": as many inner channels of every group, which changes them; a group
            of one channel needs more than one pixel to have any. "heads": of attention. "hidden":
            units of a feed-forward. "removed": the body adds nothing, shortcut and resampling stay.
            "reused": the body adds what it added in the previous call that ran it.
        kept: Ascending indices of what is kept; empty without a body.

    Ref: removed: Li et al. 2023 (AutoDiffusion); reused: Ma et al. 2024 (DeepCache).
    """

    mode: Mode
    kept: tuple[int, ...] = ()

    @property
    def has_body(self) -> bool:
        """Whether anything of the body runs."""
        return self.mode not in _BODILESS

    def to_dict(self) -> dict[str, object]:
        """JSON-ready fields."""
        if not self.has_body:
            return {"mode": self.mode}
        return {"mode": self.mode, "kept": list(self.kept)}


@dataclass(frozen=True, slots=True)
class NetworkConfiguration:
    """Choices by block name, sorted; blocks that are absent run in full.

    The empty one is the full network. Two configurations that run the same are equal once
    `normalised`, and only then is `content_hash` an identity.

    Raises:
        InvalidInput: a block is named twice.
    """

    choices: tuple[tuple[str, BlockChoice], ...] = ()

    def __post_init__(self) -> None:
        ordered = tuple(sorted(self.choices, key=lambda pair: pair[0]))
        for (name, _), (following, _) in pairwise(ordered):
            if name == following:
                raise _bad(name, "named twice", "one choice for each block")
        object.__setattr__(self, "choices", ordered)

    @classmethod
    def of(cls, choices: Mapping[str, BlockChoice]) -> NetworkConfiguration:
        """Build from a mapping of block names."""
        return cls(tuple(choices.items()))

    @classmethod
    def from_dict(cls, values: object) -> NetworkConfiguration:
        """Build from JSON fields; whether they fit a network is what `check` says.

        Raises:
            InvalidInput: not an object of choices, each with a mode and what is kept.
        """
        if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
            raise InvalidInput(
                f"configuration={values!r}: wrong type; allowed: an object of choices by block",
                field="configuration",
            )
        return cls.of({name: _choice(name, value) for name, value in values.items()})

    def to_dict(self) -> dict[str, object]:
        """JSON-ready choices by block name, sorted; `from_dict` reads them back."""
        return {name: choice.to_dict() for name, choice in self.choices}

    @property
    def content_hash(self) -> str:
        """SHA-256 of the canonical JSON."""
        return content_hash(self.to_dict())

    @property
    def reused(self) -> frozenset[str]:
        """Names of the blocks whose bodies come from an earlier call."""
        return frozenset(name for name, choice in self.choices if choice.mode == "reused")

    def get(self, name: str) -> BlockChoice | None:
        """The choice for a block; None where it runs in full."""
        return dict(self.choices).get(name)

    def check(self, blocks: Iterable[PrunableBlock]) -> None:
        """Hold every choice against the blocks of a network.

        Raises:
            InvalidInput: names the block, the value and what is allowed.
        """
        known = {block.name: block for block in blocks}
        for name, choice in self.choices:
            if name not in known:
                raise _bad(name, "unknown block", ", ".join(known) or "none")
            _check_choice(known[name], choice)

    def normalised(self, blocks: Sequence[PrunableBlock]) -> NetworkConfiguration:
        """The same without choices that keep everything.

        Raises:
            InvalidInput: as `check` does.
        """
        self.check(blocks)
        known = {block.name: block for block in blocks}
        return NetworkConfiguration(
            tuple(pair for pair in self.choices if not _keeps_all(known[pair[0]], pair[1]))
        )


def kept_channels(block: PrunableBlock, choice: BlockChoice) -> tuple[int, ...]:
    """Inner channels of a block that a choice keeps, ascending."""
    if choice.mode in ("groups", "heads"):
        width = block.unit_width
        return tuple(unit * width + i for unit in choice.kept for i in range(width))
    return choice.kept


def kept_width(block: PrunableBlock, choice: BlockChoice | None) -> int:
    """How many inner channels of a block run."""
    return block.width if choice is None else len(kept_channels(block, choice))


def _keeps_all(block: PrunableBlock, choice: BlockChoice) -> bool:
    return kept_width(block, choice) == block.width


def _check_choice(block: PrunableBlock, choice: BlockChoice) -> None:
    modes = _CUTS[block.kind] + (_BODILESS if block.can_be_removed else ())
    if choice.mode not in modes:
        raise _bad(f"{block.name}.mode", repr(choice.mode), ", ".join(modes))
    where = f"{block.name}.kept"
    if not choice.has_body:
        if choice.kept:
            raise _bad(where, repr(list(choice.kept)), f"nothing where mode is {choice.mode!r}")
        return
    count = block.width if choice.mode == "channels" else block.units
    _check_indices(where, choice.kept, count, can_be_removed=block.can_be_removed)
    if choice.mode == "channels":
        _check_counts(where, choice.kept, block)


def _check_indices(where: str, kept: tuple[int, ...], count: int, *, can_be_removed: bool) -> None:
    if not kept:
        rest = "; to keep none, mode 'removed'" if can_be_removed else ""
        raise _bad(where, "[]", f"at least one index from 0 to {count - 1}{rest}")
    for place, index in enumerate(kept):
        if type(index) is not int or not 0 <= index < count:
            raise _bad(f"{where}[{place}]", repr(index), f"an integer from 0 to {count - 1}")
        if place and kept[place - 1] >= index:
            raise _bad(f"{where}[{place}]", repr(index), f"more than {kept[place - 1]}: ascending")


def _check_counts(where: str, kept: tuple[int, ...], block: PrunableBlock) -> None:
    """As many channels in each group, for a norm's groups are all of one size."""
    counts = Counter(index // block.unit_width for index in kept)
    for group in range(block.units):
        if counts[group] != counts[0]:
            raise _bad(
                where,
                repr(list(kept)),
                f"as many channels in each of {block.units} groups of {block.unit_width}; "
                f"group 0 has {counts[0]}, group {group} has {counts[group]}",
            )


def _choice(name: str, value: object) -> BlockChoice:
    if not isinstance(value, Mapping) or set(value) - {"mode", "kept"}:
        raise _bad(name, repr(value), "an object with mode and kept")
    mode: Mode | None = next((mode for mode in get_args(Mode) if mode == value.get("mode")), None)
    kept = value.get("kept", [])
    if mode is None:
        raise _bad(f"{name}.mode", repr(value.get("mode")), ", ".join(get_args(Mode)))
    if not isinstance(kept, list | tuple) or not all(type(index) is int for index in kept):
        raise _bad(f"{name}.kept", repr(kept), "a list of integers")
    return BlockChoice(mode, tuple(kept))


def _bad(where: str, what: str, allowed: str) -> InvalidInput:
    return InvalidInput(f"configuration.{where}={what}; allowed: {allowed}", field="configuration")
