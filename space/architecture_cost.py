"""What an architecture costs over a schedule: multiply-adds, or seconds from a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from fewstep.errors import InvalidInput
from fewstep.networks.adm.config import UNetConfig
from fewstep.networks.pruning.architecture import Architecture
from fewstep.networks.pruning.configuration import NetworkConfiguration
from fewstep.networks.pruning.macs import adm_macs
from fewstep.networks.pruning.schedule_macs import (
    ImageSize,
    configurations_of_steps,
    network_macs,
    passes_of_steps,
    schedule_macs,
)
from space.architectures import ArchitectureGenome, ArchitectureSpace, Widths

__all__ = [
    "GenomeCosts",
    "ImageSize",
    "macs_share",
    "network_macs",
    "passes_of_steps",
    "schedule_macs",
    "schedule_seconds",
]


def macs_share(
    architecture: Architecture | None,
    config: UNetConfig,
    image_size: ImageSize,
    *,
    passes: Sequence[int],
) -> float:
    """The same over what the full network takes; arguments and errors as for `schedule_macs`."""
    full = schedule_macs(None, config, image_size, passes=passes)
    return schedule_macs(architecture, config, image_size, passes=passes) / full


def schedule_seconds(
    architecture: Architecture | None,
    *,
    passes: Sequence[int],
    device: str,
    seconds: Mapping[tuple[str, str], float],
) -> float:
    """Seconds over a schedule from what one pass of each configuration was measured to take.

    Args:
        architecture: what runs at each step; None is the full network.
        passes: network passes at each step.
        device: what was measured on, the first part of the table's keys.
        seconds: of one pass, by device and `NetworkConfiguration.content_hash`.

    Raises:
        InvalidInput: a configuration was not measured on the device; or another number of steps.
    """
    total = 0.0
    for count, configuration in zip(
        passes, configurations_of_steps(architecture, len(passes)), strict=True
    ):
        measured = seconds.get((device, configuration.content_hash))
        if measured is None:
            raise InvalidInput(
                f"seconds: configuration {configuration.content_hash} was not measured on "
                f"{device!r}; allowed: configurations in the table; measure it first",
                field="seconds",
            )
        total += count * measured
    return total


SECONDS_BITS = 40
"""Seconds are held in multiples of 2 to minus this, a picosecond: their sums are then exact."""


@dataclass(frozen=True, slots=True)
class GenomeCosts:
    """Costs of genomes: those of blocks add up, so every ladder is counted only once.

    In multiply-adds, which are integers, or in measured seconds, which are floats. Both add up to
    the same in any order, so that the full network costs all of itself however its steps are
    divided; that is why seconds are rounded to picoseconds.

    Attributes:
        fixed: Of one pass, outside of all blocks.
        of_place: Of one pass, for each block at each place of its ladder.
        passes: Network passes of one image at each step.

    Raises:
        InvalidInput: a cost that is negative or not finite, or that grows down its ladder.
    """

    fixed: float
    of_place: tuple[tuple[float, ...], ...]
    passes: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "fixed", _exact(self.fixed))
        rows = tuple(tuple(map(_exact, row)) for row in self.of_place)
        object.__setattr__(self, "of_place", rows)
        for block, row in enumerate(rows):
            if any(below > above for above, below in pairwise(row)):
                raise InvalidInput(
                    f"costs.of_place[{block}]={list(row)!r}: grows; allowed: costs that fall down "
                    "the ladder, or stay",
                    field="costs",
                )

    @classmethod
    def of_adm(
        cls,
        space: ArchitectureSpace,
        config: UNetConfig,
        image_size: ImageSize,
        *,
        passes: Sequence[int],
    ) -> GenomeCosts:
        """Of an ADM UNet whose blocks are those of the space.

        Raises:
            InvalidInput: the blocks or the size do not fit the network, or the numbers of steps
                differ.
        """
        check_passes(space, passes)
        counts = [
            adm_macs(config, _all_at(space, place), image_size).parts
            for place in range(max(ladder.size for ladder in space.ladders))
        ]
        names = [block.name for block in space.blocks]
        fixed = sum(cost.macs for name, cost in counts[0].items() if name not in set(names))
        of_place = tuple(
            tuple(counts[place][name].macs for place in range(ladder.size))
            for name, ladder in zip(names, space.ladders, strict=True)
        )
        return cls(fixed, of_place, tuple(passes))

    @property
    def full(self) -> float:
        """Of one image with the full network at every step."""
        return sum(self.passes) * self.network((0,) * len(self.of_place))

    def network(self, widths: Widths) -> float:
        """Of one pass with one configuration."""
        pairs = zip(self.of_place, widths, strict=True)
        return self.fixed + sum(row[place] for row, place in pairs)

    def cost(self, genome: ArchitectureGenome) -> float:
        """Of one image over the schedule."""
        passes = self.passes_of(genome)
        return sum(
            count * self.network(widths)
            for count, widths in zip(passes, genome.widths, strict=True)
        )

    def share(self, genome: ArchitectureGenome) -> float:
        """Of what the full network takes."""
        return self.cost(genome) / self.full

    def passes_of(self, genome: ArchitectureGenome) -> list[int]:
        """Network passes of one image that run each configuration."""
        counts = [0] * len(genome.widths)
        for configuration, count in zip(genome.of_step, self.passes, strict=True):
            counts[configuration] += count
        return counts


def check_passes(space: ArchitectureSpace, passes: Sequence[int]) -> None:
    """Hold passes against the steps of a space.

    Raises:
        InvalidInput: another number of them, a negative one, or none at all.
    """
    if len(passes) != space.steps or min(passes) < 0 or not sum(passes):
        raise InvalidInput(
            f"passes={list(passes)!r}: allowed: one count for each of {space.steps} steps",
            field="passes",
        )


def _exact(cost: float) -> float:
    """An integer as it is; seconds as a multiple of a power of two."""
    if not 0.0 <= cost < math.inf:
        raise InvalidInput(f"costs: {cost!r}; allowed: finite numbers of at least 0", field="costs")
    return (
        cost
        if isinstance(cost, int)
        else math.ldexp(round(math.ldexp(cost, SECONDS_BITS)), -SECONDS_BITS)
    )


def _all_at(space: ArchitectureSpace, place: int) -> NetworkConfiguration:
    """Every block at a place, or the last it has; which units stay costs the same."""
    return NetworkConfiguration.of(
        {
            ladder.block.name: ladder.choice(min(place, ladder.size - 1), range(ladder.block.units))
            for ladder in space.ladders
        }
    )
