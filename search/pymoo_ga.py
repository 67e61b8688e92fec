"""A genetic algorithm over genomes, on pymoo's ask and tell. Only search/pymoo_*.py import it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from pymoo.algorithms.soo.nonconvex.ga import GA
from pymoo.core.crossover import Crossover
from pymoo.core.duplicate import ElementwiseDuplicateElimination
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.selection import Selection
from pymoo.core.survival import Survival
from pymoo.core.termination import NoTermination

from search.pymoo_objects import Given, boxed, tell, unboxed
from space.operators import crossover, mutate
from space.timesteps import Genome, TimestepSpace

CROSSOVER_RATE = 0.3
PARENT_RANK = 2.5
"""Mean rank of a parent: ranks are drawn from an exponential distribution."""

SCALE_SPREAD = 2.0
"""Children jitter by the scale times exp(-u), u uniform in 0..SCALE_SPREAD."""

PER_NICHE = 2
"""Survivors of one niche before worse ones of other niches get a place."""


class ScheduleGA:
    """pymoo's GA on object variables: one variable, which is a genome.

    Seeded by `rng` alone: pymoo gets its seed from it, and the operators use only the generator
    that pymoo hands them.

    Args:
        space: Where genomes live.
        parents: The first population, already scored: fitness by genome, at least one.
        niche: Which niche a genome belongs to.
        population: Survivors of a generation.
        rng: Source of this run's seed.

    Attributes:
        scale: Standard deviation in lam of the next children's jitter; the caller shrinks it.
    """

    def __init__(
        self,
        space: TimestepSpace,
        parents: Mapping[Genome, float],
        *,
        niche: Callable[[Genome], int],
        population: int,
        scale: float,
        rng: np.random.Generator,
    ) -> None:
        self._mutation = _Mutation(space, scale)
        self._algorithm = GA(
            pop_size=population,
            sampling=Given(list(parents)),
            selection=_RankSelection(),
            crossover=_Crossover(space),
            mutation=self._mutation,
            survival=_NicheSurvival(niche, population),
            eliminate_duplicates=_SameGenome(),
            advance_after_initial_infill=True,
            output=None,
        )
        seed = int(rng.integers(2**31))
        self._algorithm.termination = NoTermination()
        self._algorithm.setup(Problem(n_var=1, n_obj=1), seed=seed, termination=NoTermination())
        self._asked = self._algorithm.ask()
        self.tell(parents)

    @property
    def scale(self) -> float:
        """Standard deviation in lam of the jitter."""
        return self._mutation.scale

    @scale.setter
    def scale(self, scale: float) -> None:
        self._mutation.scale = scale

    def ask(self, count: int) -> list[Genome]:
        """Up to `count` different new genomes (fewer where no more can be made)."""
        self._algorithm.n_offsprings = count
        self._asked = self._algorithm.ask()
        return [] if self._asked is None else [unboxed(child) for child in self._asked]

    def tell(self, fitness: Mapping[Genome, float]) -> None:
        """The fitness of those of the last children that were scored; infinite for failed ones."""
        scored = self._asked[[unboxed(child) in fitness for child in self._asked]]
        for child in scored:
            tell(child, [fitness[unboxed(child)]])
        self._algorithm.tell(infills=scored)

    @property
    def population(self) -> list[Genome]:
        """The survivors, in the order in which parents are preferred."""
        return [unboxed(individual) for individual in self._algorithm.pop]


class _RankSelection(Selection):  # type: ignore[misc]
    """Parents by rank, better ones more often: every rank can be drawn, few are."""

    def _do(
        self,
        _problem: Problem,
        pop: Population,
        n_select: int,
        n_parents: int,
        *,
        random_state: np.random.Generator,
        **_: object,
    ) -> np.ndarray:
        ranks = random_state.exponential(PARENT_RANK, size=(n_select, n_parents))
        return np.asarray(np.minimum(ranks.astype(int), len(pop) - 1))


class _Crossover(Crossover):  # type: ignore[misc]
    """Two parents, one child; the other children are copies of a parent, left to mutation."""

    def __init__(self, space: TimestepSpace) -> None:
        super().__init__(n_parents=2, n_offsprings=1, prob=1.0)
        self._space = space

    def _do(
        self, _problem: Problem, X: np.ndarray, *, random_state: np.random.Generator, **_: object
    ) -> np.ndarray:
        pairs = zip(X[0, :, 0], X[1, :, 0], strict=True)
        return boxed([self._child(a, b, random_state) for a, b in pairs])[None]

    def _child(self, a: Genome, b: Genome, rng: np.random.Generator) -> Genome:
        return crossover(a, b, self._space, rng) if rng.random() < CROSSOVER_RATE else a


class _Mutation(Mutation):  # type: ignore[misc]
    """The mutation mixture on every child, each at its own share of the scale."""

    def __init__(self, space: TimestepSpace, scale: float) -> None:
        super().__init__(prob=1.0)
        self._space = space
        self.scale = scale

    def _do(
        self, _problem: Problem, X: np.ndarray, *, random_state: np.random.Generator, **_: object
    ) -> np.ndarray:
        shares = np.exp(-SCALE_SPREAD * random_state.random(len(X)))
        return boxed(
            [
                mutate(x, self._space, random_state, self.scale * share)
                for x, share in zip(X[:, 0], shares.tolist(), strict=True)
            ]
        )


class _NicheSurvival(Survival):  # type: ignore[misc]
    """The best, but at most PER_NICHE of a niche while others have any; failed ones last."""

    def __init__(self, niche: Callable[[Genome], int], population: int) -> None:
        super().__init__(filter_infeasible=False)
        self._niche = niche
        self._population = population

    def _do(self, _problem: Problem, pop: Population, **_: object) -> Population:
        fitness = pop.get("F")[:, 0]
        order = np.argsort(fitness, kind="stable").tolist()
        alive = [i for i in order if np.isfinite(fitness[i])]
        niches = [self._niche(unboxed(pop[i])) for i in alive]
        survivors = [alive[place] for place in spread(niches, PER_NICHE)] + order[len(alive) :]
        return pop[survivors[: self._population]]


class _SameGenome(ElementwiseDuplicateElimination):  # type: ignore[misc]
    """Equal genomes are duplicates."""

    def is_equal(self, a: Any, b: Any) -> bool:
        return bool(unboxed(a) == unboxed(b))


def spread(niches: Sequence[int], per_niche: int) -> list[int]:
    """Positions of a ranking, the first `per_niche` of each niche before all others."""
    counts: dict[int, int] = {}
    first: list[int] = []
    rest: list[int] = []
    for position, niche in enumerate(niches):
        counts[niche] = counts.get(niche, 0) + 1
        (first if counts[niche] <= per_niche else rest).append(position)
    return first + rest
