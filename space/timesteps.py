"""The space of stage 1: K strictly decreasing time indices of a discrete process, and options."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias

from fewstep.canonical import content_hash
from fewstep.errors import InvalidInput
from fewstep.process import VPDiscrete
from fewstep.program import MAX_CONDITION, Program, trace
from fewstep.solvers import SOLVERS, Solver, canonical_name
from fewstep.solvers.options import OptionValue, resolve_options
from space.candidate import Candidate
from space.choices import Choices, Gene, choices_of, genes_of, option_values, start_choices

Genome: TypeAlias = "tuple[int, ...]"
"""K indices into the process's table, strictly decreasing: from noise to data; then the choices."""

Points: TypeAlias = "tuple[int, ...]"
"""The K indices of a genome alone."""


@dataclass(frozen=True, slots=True)
class TimestepSpace:
    """All schedules of `steps` indices at least `min_gap` apart. The start level is free.

    Options of the solver that are searched add choices to each genome, one for each step where the
    option has a value for each step.

    Attributes:
        process: The discrete process whose indices the genes are, 0 (data) to N-1 (noise).
        solver: Canonical name of the solver that every candidate uses.
        steps: K, genes per genome.
        min_gap: Least distance of neighbouring indices, 1 or more.
        options: Options that every candidate has, by name; others have their defaults.
        searched: Names of the options that genomes choose.
        genes: The choices of a genome, behind its K indices; none where no option is searched.
        nfe: Denoiser calls of every member; choices that take others are not allowed.
        lams: Half log-SNR of every index (strictly decreasing in the index).

    Raises:
        InvalidInput: no genome of this length and gap exists; an unknown solver or option.
    """

    process: VPDiscrete
    solver: str
    steps: int
    min_gap: int = 1
    options: tuple[tuple[str, OptionValue], ...] = ()
    searched: tuple[str, ...] = ()
    genes: tuple[Gene, ...] = field(init=False, repr=False, compare=False)
    nfe: int = field(init=False, repr=False, compare=False)
    lams: tuple[float, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.min_gap < 1:
            raise InvalidInput(f"min_gap={self.min_gap}: must be at least 1", field="min_gap")
        most = (self.size - 1) // self.min_gap + 1
        if not 1 <= self.steps <= most:
            raise InvalidInput(
                f"steps={self.steps}: must be 1 to {most}, the process has {self.size} indices "
                f"at least {self.min_gap} apart",
                field="steps",
            )
        object.__setattr__(self, "solver", canonical_name(self.solver))
        self.entry.check_steps(self.steps)
        object.__setattr__(self, "nfe", self.entry.nfe_of_steps(self.steps, dict(self.options)))
        object.__setattr__(self, "genes", genes_of(self.entry, self.searched, self.steps))
        levels = (self.process.at(self.process.time_of(k)) for k in range(self.size))
        object.__setattr__(self, "lams", tuple(level.lam for level in levels))

    @property
    def entry(self) -> Solver:
        """The registered solver."""
        return SOLVERS.get(self.solver)

    @property
    def size(self) -> int:
        """N, the number of indices of the process."""
        return self.process.num_train_timesteps

    def index_near(self, lam: float) -> int:
        """The index whose half log-SNR is nearest to `lam` (ends of the range outside of it)."""
        above = bisect.bisect_left(self.lams, -lam, key=lambda value: -value)
        around = [k for k in (above - 1, above) if 0 <= k < self.size]
        return min(around, key=lambda k: (abs(self.lams[k] - lam), k))

    def points(self, genome: Sequence[int]) -> Points:
        """The K indices of a genome."""
        return tuple(genome[: self.steps])

    def choices(self, genome: Sequence[int]) -> Choices:
        """The choices of a genome."""
        return tuple(genome[self.steps :])

    def started(self, points: Sequence[int]) -> Genome:
        """A genome of these indices whose choices are those that searches start from."""
        return (*points, *start_choices(self.genes))

    def holds(self, genome: Sequence[int]) -> bool:
        """Whether `genome` is a member: lengths, ranges, order and gap."""
        points, choices = self.points(genome), self.choices(genome)
        inside = all(0 <= k < self.size for k in points)
        gaps = all(a - b >= self.min_gap for a, b in pairwise(points))
        return (
            len(points) == self.steps
            and inside
            and gaps
            and len(choices) == len(self.genes)
            and all(0 <= i < len(g.values) for i, g in zip(choices, self.genes, strict=True))
        )

    def check(self, genome: Sequence[int]) -> None:
        """Refuse what is not a member.

        Raises:
            InvalidInput: says what members are.
        """
        if not self.holds(genome):
            raise InvalidInput(
                f"genome={tuple(genome)!r}: must be {self.steps} indices in 0..{self.size - 1}, "
                f"strictly decreasing, at least {self.min_gap} apart, and {len(self.genes)} "
                "choices",
                field="genome",
            )

    def allows(self, choices: Choices) -> bool:
        """Whether the choices go together, and take the calls that all members take."""
        if not self.genes:
            return True
        options = self._options(choices)
        try:
            resolve_options(self.entry.options, options, steps=self.steps)
            return self.entry.nfe_of_steps(self.steps, options) == self.nfe
        except InvalidInput:
            return False

    def candidate(self, genome: Sequence[int]) -> Candidate:
        """The canonical candidate of a genome.

        Raises:
            InvalidInput: not a member of this space.
        """
        self.check(genome)
        times = (*(self.process.time_of(k) for k in self.points(genome)), 0.0)
        options = self._options(self.choices(genome))
        return Candidate(solver=self.solver, times=times, options=tuple(options.items()))

    def indices(self, candidate: Candidate) -> Points:
        """The indices of a candidate's times, whatever its solver."""
        return tuple(self.process.index_of(t) for t in candidate.times[:-1])

    def genome(self, candidate: Candidate) -> Genome:
        """Indices and choices of a candidate; the inverse of `candidate`."""
        choices = choices_of(self.genes, dict(candidate.options), self.entry)
        return (*self.indices(candidate), *choices)

    def is_feasible(self, genome: Sequence[int]) -> bool:
        """Whether the solver's coefficients on this genome keep float32 accurate.

        Choices that do not go together, or take another number of calls, are not feasible either.
        """
        if not self.allows(self.choices(genome)):
            return False
        return self.program(genome).condition <= MAX_CONDITION

    def program(self, genome: Sequence[int]) -> Program:
        """What the solver does on a genome whose choices are allowed."""
        candidate = self.candidate(genome)
        return trace(
            candidate.times,
            process=self.process,
            solver=self.solver,
            options=dict(candidate.options),
        )

    def deed(self, genome: Sequence[int]) -> str:
        """A hash of all that is done for an image; equal for genomes that do the same."""
        chains = dict(self.candidate(genome).chains)
        return content_hash({"program": self.program(genome).to_dict(), "chains": chains})

    def _options(self, choices: Choices) -> dict[str, OptionValue]:
        """All options of a genome with these choices."""
        return dict(self.options) | option_values(self.genes, choices, self.entry, self.steps)
