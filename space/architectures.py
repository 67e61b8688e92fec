"""The space of stage 2: how much of every block runs, in which configuration, at which steps.

A genome holds places on ladders, one ladder for each block from its full width down to no body, and
says which of its configurations each step of a schedule runs. Which units a width keeps is not in
it: rankings by importance say that.
Ref: Li et al. 2023 (AutoDiffusion) has a configuration for every step; shared ones are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, TypeAlias, get_args

from fewstep.canonical import content_hash
from fewstep.errors import InvalidInput
from fewstep.networks.pruning.architecture import MAX_CONFIGURATIONS, Architecture, Repair
from fewstep.networks.pruning.blocks import PrunableBlock
from fewstep.networks.pruning.calibration_plan import CalibrationPlan
from fewstep.networks.pruning.configuration import NetworkConfiguration
from space.architecture_ladders import Ladder, ladders_of, section_of

Mode = Literal["shared", "bands", "steps"]
MODES: tuple[Mode, ...] = get_args(Mode)

Widths: TypeAlias = "tuple[int, ...]"
"""A configuration: for each block a place on its ladder; 0 is the full width."""

Ranking: TypeAlias = "Mapping[str, Sequence[int]]"
"""For each block its units, the most important first."""


@dataclass(frozen=True, slots=True)
class ArchitectureGenome:
    """Widths of each configuration, and the configuration of each step.

    Configurations are ordered by first use on construction, and unused ones dropped. Equal ones
    stay: at other noise levels the same widths may keep other units.

    Raises:
        InvalidInput: a step without a configuration, or no step.
    """

    widths: tuple[Widths, ...]
    of_step: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.of_step or not all(0 <= c < len(self.widths) for c in self.of_step):
            raise _bad(
                "of_step", list(self.of_step), f"places below {len(self.widths)}, one a step"
            )
        order = list(dict.fromkeys(self.of_step))
        object.__setattr__(self, "of_step", tuple(order.index(c) for c in self.of_step))
        object.__setattr__(self, "widths", tuple(tuple(self.widths[c]) for c in order))

    @property
    def key(self) -> str:
        """SHA-256 of the canonical form; genomes with two may still stand for one architecture."""
        return content_hash(
            {"widths": [list(w) for w in self.widths], "of_step": list(self.of_step)}
        )

    def first_step(self, configuration: int) -> int:
        """The first step that runs a configuration."""
        return self.of_step.index(configuration)

    def with_place(self, configuration: int, block: int, place: int) -> ArchitectureGenome:
        """The same with one block of one configuration at another place."""
        widths = list(self.widths[configuration])
        widths[block] = place
        return self.with_widths(configuration, tuple(widths))

    def with_widths(self, configuration: int, widths: Widths) -> ArchitectureGenome:
        """The same with other widths for one configuration."""
        every = (*self.widths[:configuration], widths, *self.widths[configuration + 1 :])
        return ArchitectureGenome(every, self.of_step)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchitectureSpace:
    """All genomes for a network and a number of steps.

    Attributes:
        blocks: What may be cut, in execution order.
        steps: K, the steps of the schedule.
        mode: "shared": one configuration. "bands": one for each of a few bands of noise, which
            are runs of steps. "steps": any step may have any of a few.
        max_configurations: How many at most; 1 where they are shared.
        removable: Names of blocks whose body may go.
        reusable: Names of blocks that may add what their body added in an earlier call.
        repair: What stands in for what was cut, in every architecture.
        calibration: Where the moments for it come from; None without repair.
        sections: For each block a label of where it is; crossover exchanges sections. Derived from
            names where none are given: encoder, middle, decoder.
        ladders: For each block the widths there are.

    Raises:
        InvalidInput: a value is out of range, or a name is no block whose body may go.
    """

    blocks: tuple[PrunableBlock, ...]
    steps: int
    mode: Mode = "shared"
    max_configurations: int = MAX_CONFIGURATIONS
    removable: tuple[str, ...] = ()
    reusable: tuple[str, ...] = ()
    repair: Repair = "none"
    calibration: CalibrationPlan | None = None
    sections: tuple[str, ...] = ()
    ladders: tuple[Ladder, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise _bad("mode", self.mode, ", ".join(MODES))
        if self.steps < 1 or not self.blocks:
            raise _bad("steps, blocks", (self.steps, len(self.blocks)), "1 or more of each")
        if not 1 <= self.max_configurations <= MAX_CONFIGURATIONS:
            raise _bad("max_configurations", self.max_configurations, f"1 to {MAX_CONFIGURATIONS}")
        most = 1 if self.mode == "shared" else min(self.max_configurations, self.steps)
        object.__setattr__(self, "max_configurations", most)
        ladders = ladders_of(self.blocks, removable=self.removable, reusable=self.reusable)
        object.__setattr__(self, "ladders", ladders)
        sections = self.sections or tuple(section_of(block.name) for block in self.blocks)
        if len(sections) != len(self.blocks):
            raise _bad("sections", list(sections), f"one for each of {len(self.blocks)} blocks")
        object.__setattr__(self, "sections", sections)

    @property
    def full_widths(self) -> Widths:
        """The configuration that keeps everything."""
        return (0,) * len(self.blocks)

    @property
    def full(self) -> ArchitectureGenome:
        """The full network at every step."""
        return ArchitectureGenome((self.full_widths,), (0,) * self.steps)

    def holds(self, genome: ArchitectureGenome) -> bool:
        """Whether a genome is a member: lengths, places, mode, and every reused body was run."""
        return (
            len(genome.of_step) == self.steps
            and len(genome.widths) <= self.max_configurations
            and (self.mode != "bands" or all(a <= b for a, b in pairwise(genome.of_step)))
            and all(self._has(widths) for widths in genome.widths)
            and self._can_reuse(genome)
        )

    def check(self, genome: ArchitectureGenome) -> None:
        """Refuse what is not a member.

        Raises:
            InvalidInput: says what members are.
        """
        if not self.holds(genome):
            raise _bad(
                "genome",
                genome,
                f"{self.steps} steps, at most {self.max_configurations} configurations, each a "
                f"place on each of {len(self.blocks)} ladders; in mode 'bands' each for one run of "
                "steps; bodies reused only where an earlier step runs them",
            )

    def decode(self, genome: ArchitectureGenome, rankings: Sequence[Ranking]) -> Architecture:
        """The canonical architecture of a genome; several genomes may have the same.

        A block keeps the first units of its ranking. Where the rankings of a configuration's steps
        differ, units are ordered by their mean place in them, equal ones by index.

        Args:
            genome: a member.
            rankings: one for each step, or one for all.

        Raises:
            InvalidInput: not a member, or a ranking is missing or does not hold each unit once.
        """
        self.check(genome)
        if len(rankings) not in (1, self.steps):
            raise _bad("rankings", len(rankings), f"one, or one for each of {self.steps} steps")
        found = [
            self._configuration(widths, _distinct(rankings, genome, place))
            for place, widths in enumerate(genome.widths)
        ]
        return Architecture.of_steps(
            [found[c] for c in genome.of_step], repair=self.repair, calibration=self.calibration
        )

    def _has(self, widths: Widths) -> bool:
        return len(widths) == len(self.ladders) and all(
            0 <= place < ladder.size for place, ladder in zip(widths, self.ladders, strict=True)
        )

    def _can_reuse(self, genome: ArchitectureGenome) -> bool:
        """Whether an earlier step runs every body that a configuration reuses."""
        for b, ladder in enumerate(self.ladders):
            if not ladder.can_be_reused:
                continue
            has_run = False
            for c in genome.of_step:
                place = genome.widths[c][b]
                if ladder.is_reused(place) and not has_run:
                    return False
                has_run = has_run or ladder.has_body(place)
        return True

    def _configuration(
        self, widths: Widths, rankings: Sequence[tuple[Ranking, int]]
    ) -> NetworkConfiguration:
        choices = {
            ladder.block.name: ladder.choice(place, _order(ladder.block, rankings))
            for place, ladder in zip(widths, self.ladders, strict=True)
            if place
        }
        return NetworkConfiguration.of(choices)


def _distinct(
    rankings: Sequence[Ranking], genome: ArchitectureGenome, configuration: int
) -> list[tuple[Ranking, int]]:
    """The rankings of a configuration's steps, each once, with the number of steps it is for."""
    if len(rankings) == 1:
        return [(rankings[0], 1)]
    own = [rankings[step] for step, c in enumerate(genome.of_step) if c == configuration]
    counted: dict[int, tuple[Ranking, int]] = {}
    for ranking in own:
        counted[id(ranking)] = (ranking, counted.get(id(ranking), (ranking, 0))[1] + 1)
    return list(counted.values())


def _order(block: PrunableBlock, rankings: Sequence[tuple[Ranking, int]]) -> list[int]:
    """Units of a block, the most important first."""
    sums = [0] * block.units
    for ranking, steps in rankings:
        order = ranking.get(block.name, ())
        if sorted(order) != list(range(block.units)):
            raise _bad(
                f"rankings.{block.name}", list(order), f"each of 0 to {block.units - 1} once"
            )
        for place, unit in enumerate(order):
            sums[unit] += steps * place
    return sorted(range(block.units), key=lambda unit: (sums[unit], unit))


def _bad(where: str, what: object, allowed: str) -> InvalidInput:
    return InvalidInput(f"architecture.{where}={what!r}; allowed: {allowed}", field="architecture")
