"""The space of schedules whose images are drawn from chains: times, options, and the chains' own.

A genome has K indices, K being the steps that denoising has where chains take the fewest steps,
then the choices: of the solver's options, then how many chain steps, then their size. With more
chain steps fewer calls are left to denoise with, and the schedule of m steps is the genome's curve
of half log-SNR at m even places: the first and the last point stay, and with m = K all do. Choices
for each step are those of the nearest place.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from fewstep.errors import InvalidInput
from fewstep.mcmc.plan import ChainPlan
from fewstep.solvers.options import OptionValue, resolve_options
from space.candidate import Candidate
from space.choices import Choices, Gene, option_values
from space.repair import moved_apart
from space.timesteps import Genome, Points, TimestepSpace

SKIP_GENE = "dlg.num_skip"
ETA_GENE = "dlg.eta"

ETA_FACTORS = tuple(2.0**power for power in range(-4, 3))
"""Sizes of a chain step that a search tries, in squares of the start's noise-to-signal ratio."""

START_SKIP_SHARE = 0.25
"""Of all calls, for chain steps where a search starts."""

Fixed: TypeAlias = "tuple[tuple[str, object], ...]"


@dataclass(frozen=True, slots=True)
class ChainSpace(TimestepSpace):
    """`TimestepSpace` with chains.

    Attributes:
        calls: Denoiser calls of every member, chain steps included.
        skips: Numbers of chain steps that may be chosen; one is no choice.
        eta: Size of a chain step; None is chosen, relative to the start.
        chains: What else `ChainPlan` needs, as pairs.

    Raises:
        InvalidInput: as `TimestepSpace`.
    """

    calls: int = field(kw_only=True)
    skips: tuple[int, ...] = field(kw_only=True)
    eta: float | None = field(default=None, kw_only=True)
    chains: Fixed = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        TimestepSpace.__post_init__(self)  # super() does not work in a class with slots
        own = []
        if len(self.skips) > 1:
            likely = START_SKIP_SHARE * self.calls
            start = min(range(len(self.skips)), key=lambda i: abs(self.skips[i] - likely))
            own.append(Gene(option=SKIP_GENE, step=None, values=self.skips, start=start))
        if self.eta is None:
            start = ETA_FACTORS.index(1.0)
            own.append(Gene(option=ETA_GENE, step=None, values=ETA_FACTORS, start=start))
        object.__setattr__(self, "genes", (*self.genes, *own))

    def allows(self, choices: Choices) -> bool:
        """Whether the choices go together, and take the calls that all members take."""
        skip, _ = self._own(choices)
        try:
            steps = self._denoising_steps(skip)
            options = self._options_of(choices, steps)
            resolve_options(self.entry.options, options, steps=steps)
            return self.entry.nfe_of_steps(steps, options) == self.calls - skip
        except InvalidInput:
            return False

    def candidate(self, genome: Sequence[int]) -> Candidate:
        """The canonical candidate of a genome; several genomes may have the same.

        Raises:
            InvalidInput: not a member of this space, or its choices are not allowed.
        """
        self.check(genome)
        choices = self.choices(genome)
        skip, factor = self._own(choices)
        points = self.resampled(self.points(genome), self._denoising_steps(skip))
        times = (*(self.process.time_of(k) for k in points), 0.0)
        eta = self.eta
        if eta is None:
            eta = factor * self.process.at(times[0]).rho ** 2
        plan = ChainPlan.from_dict({**dict(self.chains), "eta": eta, "num_skip": skip})
        options = self._options_of(choices, len(points))
        return Candidate(
            solver=self.solver, times=times, options=tuple(options.items()), chains=plan.pairs()
        )

    def genome(self, candidate: Candidate) -> Genome:
        """Refused: a schedule of fewer steps does not say what it was resampled from.

        Raises:
            TypeError: always; whoever needs genomes again keeps them beside their candidates.
        """
        raise TypeError(f"no inverse of a resampled schedule: {candidate}")

    def resampled(self, points: Points, steps: int) -> Points:
        """The curve of half log-SNR through these points, at `steps` even places of it."""
        if steps == len(points):
            return points
        lams = [self.lams[k] for k in points]
        curve = [_at(lams, place) for place in _places(len(points), steps)]
        indices = [self.index_near(lam) for lam in curve]
        return moved_apart(indices, size=self.size, gap=self.min_gap)

    def _own(self, choices: Choices) -> tuple[int, float]:
        """Chain steps, and the factor of their size."""
        chosen: Mapping[str, object] = {
            gene.option: gene.values[place]
            for gene, place in zip(self.genes, choices, strict=True)
            if gene.option in (SKIP_GENE, ETA_GENE)
        }
        skip, factor = chosen.get(SKIP_GENE, self.skips[0]), chosen.get(ETA_GENE, 1.0)
        assert isinstance(skip, int)
        assert isinstance(factor, float)
        return skip, factor

    def _denoising_steps(self, skip: int) -> int:
        """Steps of the schedule where chains take `skip` steps.

        Raises:
            InvalidInput: the solver cannot spend what is left.
        """
        return self.entry.steps_of_nfe(self.calls - skip, dict(self.options))

    def _options_of(self, choices: Choices, steps: int) -> dict[str, OptionValue]:
        """The solver's options on a schedule of that many steps."""
        count = sum(gene.option not in (SKIP_GENE, ETA_GENE) for gene in self.genes)
        genes = self.genes[:count]
        given = option_values(genes, choices[:count], self.entry, self.steps)
        nearest = [round(place) for place in _places(self.steps, steps)]
        shortened = {
            name: tuple(value[i] for i in nearest) if isinstance(value, tuple) else value
            for name, value in given.items()
        }
        return dict(self.options) | shortened


def _places(count: int, wanted: int) -> list[float]:
    """`wanted` even places on 0..count-1, ends included; one is the first."""
    return [j * (count - 1) / max(1, wanted - 1) for j in range(wanted)]


def _at(values: Sequence[float], place: float) -> float:
    """The piecewise linear curve through values at 0, 1, ..."""
    low = min(math.floor(place), len(values) - 2)
    return values[low] + (place - low) * (values[low + 1] - values[low])
