"""What an architecture costs over a schedule: multiply-adds, or seconds from a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from fewstep.errors import InvalidInput
from fewstep.guidance import Guidance, cost_of
from fewstep.networks.adm.config import UNetConfig
from fewstep.networks.pruning.architecture import Architecture
from fewstep.networks.pruning.configuration import NetworkConfiguration
from fewstep.networks.pruning.macs import adm_macs
from fewstep.program import Program
from space.architectures import ArchitectureGenome, ArchitectureSpace, Widths

ImageSize = int | tuple[int, int]
_FULL = NetworkConfiguration()


def passes_of_steps(
    program: Program, times: Sequence[float], guidance: Guidance = "none"
) -> tuple[int, ...]:
    """Network passes of one image at each step of the grid that a program was traced on.

    A pass counts at the step whose network runs it (`Program.with_networks`), so a stage at the
    time of the next step counts there. Gradients of a guide run another network: none are counted.

    Raises:
        InvalidInput: a gradient is asked for where there is no guidance.
    """
    steps = len(times) - 1
    passes = [0] * steps
    for node in program.with_networks(times, range(steps)).nodes:
        passes[node.network] += cost_of({node.kind: 1}, guidance).passes
    return tuple(passes)


@lru_cache(maxsize=4096)
def network_macs(
    config: UNetConfig, configuration: NetworkConfiguration, image_size: ImageSize
) -> int:
    """Multiply-adds of one pass of one image; kept, for a search asks for the same ones.

    Raises:
        InvalidInput: the configuration or the size does not fit the network.
    """
    return adm_macs(config, configuration, image_size).total.macs


def schedule_macs(
    architecture: Architecture | None,
    config: UNetConfig,
    image_size: ImageSize,
    *,
    passes: Sequence[int],
) -> int:
    """Multiply-adds of one image over a schedule.

    Args:
        architecture: what runs at each step; None is the full network.
        config: of the full network.
        image_size: side, or height and width.
        passes: network passes at each step, as `passes_of_steps` counts them.

    Raises:
        InvalidInput: the architecture does not fit the network or the number of steps.
    """
    each = _configurations(architecture, len(passes))
    return sum(
        count * network_macs(config, configuration, image_size)
        for count, configuration in zip(passes, each, strict=True)
    )


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
        passes, _configurations(architecture, len(passes)), strict=True
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


@dataclass(frozen=True, slots=True)
class GenomeCosts:
    """Multiply-adds of genomes: those of blocks add up, so every ladder is counted only once.

    Attributes:
        fixed: Of one pass, outside of all blocks.
        of_place: Of one pass, for each block at each place of its ladder.
        passes: Network passes of one image at each step.
    """

    fixed: int
    of_place: tuple[tuple[int, ...], ...]
    passes: tuple[int, ...]

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
        if len(passes) != space.steps or min(passes) < 0 or not sum(passes):
            raise InvalidInput(
                f"passes={list(passes)!r}: allowed: one count for each of {space.steps} steps",
                field="passes",
            )
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
    def full(self) -> int:
        """Of one image with the full network at every step."""
        return sum(self.passes) * self.network((0,) * len(self.of_place))

    def network(self, widths: Widths) -> int:
        """Of one pass with one configuration."""
        pairs = zip(self.of_place, widths, strict=True)
        return self.fixed + sum(macs[place] for macs, place in pairs)

    def macs(self, genome: ArchitectureGenome) -> int:
        """Of one image over the schedule."""
        passes = self.passes_of(genome)
        return sum(
            count * self.network(widths)
            for count, widths in zip(passes, genome.widths, strict=True)
        )

    def share(self, genome: ArchitectureGenome) -> float:
        """Of what the full network takes."""
        return self.macs(genome) / self.full

    def passes_of(self, genome: ArchitectureGenome) -> list[int]:
        """Network passes of one image that run each configuration."""
        counts = [0] * len(genome.widths)
        for configuration, count in zip(genome.of_step, self.passes, strict=True):
            counts[configuration] += count
        return counts


def _configurations(
    architecture: Architecture | None, steps: int
) -> Sequence[NetworkConfiguration]:
    """What runs at each step.

    Raises:
        InvalidInput: the architecture is for another number of steps.
    """
    if architecture is None:
        return [_FULL] * steps
    if len(architecture.of_step) != steps:
        raise InvalidInput(
            f"architecture.of_step: {len(architecture.of_step)} entries; allowed: one for each of "
            f"{steps} steps",
            field="architecture",
        )
    return [architecture.at(step) for step in range(steps)]


def _all_at(space: ArchitectureSpace, place: int) -> NetworkConfiguration:
    """Every block at a place, or the last it has; which units stay costs the same."""
    return NetworkConfiguration.of(
        {
            ladder.block.name: ladder.choice(min(place, ladder.size - 1), range(ladder.block.units))
            for ladder in space.ladders
        }
    )
