"""The space of stage 1: K strictly decreasing integer time indices of a discrete process."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias

from fewstep.errors import InvalidInput
from fewstep.process import VPDiscrete
from fewstep.program import MAX_CONDITION, trace
from fewstep.solvers import SOLVERS, canonical_name
from space.candidate import Candidate

Genome: TypeAlias = "tuple[int, ...]"
"""K indices into the process's table, strictly decreasing: from noise to data."""


@dataclass(frozen=True, slots=True)
class TimestepSpace:
    """All schedules of `steps` indices at least `min_gap` apart. The start level is free.

    Attributes:
        process: The discrete process whose indices the genes are, 0 (data) to N-1 (noise).
        solver: Canonical name of the solver that every candidate uses.
        steps: K, genes per genome.
        min_gap: Least distance of neighbouring indices, 1 or more.
        lams: Half log-SNR of every index (strictly decreasing in the index).

    Raises:
        InvalidInput: no genome of this length and gap exists; an unknown solver.
    """

    process: VPDiscrete
    solver: str
    steps: int
    min_gap: int = 1
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
        SOLVERS.get(self.solver).check_steps(self.steps)
        levels = (self.process.at(self.process.time_of(k)) for k in range(self.size))
        object.__setattr__(self, "lams", tuple(level.lam for level in levels))

    @property
    def size(self) -> int:
        """N, the number of indices of the process."""
        return self.process.num_train_timesteps

    def index_near(self, lam: float) -> int:
        """The index whose half log-SNR is nearest to `lam` (ends of the range outside of it)."""
        above = bisect.bisect_left(self.lams, -lam, key=lambda value: -value)
        around = [k for k in (above - 1, above) if 0 <= k < self.size]
        return min(around, key=lambda k: (abs(self.lams[k] - lam), k))

    def holds(self, genome: Sequence[int]) -> bool:
        """Whether `genome` is a member: length, range, order and gap."""
        inside = all(0 <= k < self.size for k in genome)
        gaps = all(a - b >= self.min_gap for a, b in pairwise(genome))
        return len(genome) == self.steps and inside and gaps

    def candidate(self, genome: Sequence[int]) -> Candidate:
        """The canonical candidate of a genome.

        Raises:
            InvalidInput: not a member of this space.
        """
        if not self.holds(genome):
            raise InvalidInput(
                f"genome={tuple(genome)!r}: must be {self.steps} indices in 0..{self.size - 1}, "
                f"strictly decreasing, at least {self.min_gap} apart",
                field="genome",
            )
        times = (*(self.process.time_of(k) for k in genome), 0.0)
        return Candidate(solver=self.solver, times=times)

    def genome(self, candidate: Candidate) -> Genome:
        """The indices of a candidate's times; the inverse of `candidate`."""
        return tuple(self.process.index_of(t) for t in candidate.times[:-1])

    def is_feasible(self, genome: Sequence[int]) -> bool:
        """Whether the solver's coefficients on this genome keep float32 accurate."""
        times = self.candidate(genome).times
        program = trace(times, process=self.process, solver=self.solver)
        return program.condition <= MAX_CONDITION
