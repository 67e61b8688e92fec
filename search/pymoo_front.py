"""NSGA-II over genomes with pruned networks, on pymoo's ask and tell; order along its fronts.

Ref: Deb et al. 2002 (NSGA-II).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.crossover import Crossover
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.termination import NoTermination
from pymoo.operators.survival.rank_and_crowding.metrics import calc_crowding_distance
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

from search.pruning_plan import PrunedGenome
from search.pymoo_objects import Given, boxed, tell, unboxed

Objectives: TypeAlias = "tuple[float, ...]"
"""What is to be small: FID, and where there is no budget the cost. All finite."""

Mutate: TypeAlias = "Callable[[PrunedGenome, np.random.Generator], PrunedGenome]"
Cross: TypeAlias = "Callable[[PrunedGenome, PrunedGenome, np.random.Generator], PrunedGenome]"

CROSSOVER_RATE = 0.5


class FrontGA:
    """pymoo's NSGA-II on object variables: one variable, which is a genome.

    Seeded by `rng` alone. Children may repeat, one another or what was known before: whether two
    genomes run the same is for the caller to say. With one objective it ranks by that.

    Args:
        parents: The first population, already scored: objectives by genome, at least one, all of
            one number of objectives.
        mutate: Applied to every child.
        cross: Applied to the parents of some children; the others are copies before mutation.
        population: Survivors of a generation.
        rng: Source of this run's seed.
    """

    def __init__(
        self,
        parents: Mapping[PrunedGenome, Objectives],
        *,
        mutate: Mutate,
        cross: Cross,
        population: int,
        rng: np.random.Generator,
    ) -> None:
        self._algorithm = NSGA2(
            pop_size=population,
            sampling=Given(list(parents)),
            crossover=_Crossover(cross),
            mutation=_Mutation(mutate),
            eliminate_duplicates=False,
            output=None,
        )
        seed, count = int(rng.integers(2**31)), len(next(iter(parents.values())))
        self._algorithm.termination = NoTermination()
        self._algorithm.setup(Problem(n_var=1, n_obj=count), seed=seed, termination=NoTermination())
        self._algorithm.tell(infills=_told(self._algorithm.ask(), parents))
        self.tell({})  # down to the size of a population

    def ask(self, count: int) -> list[PrunedGenome]:
        """So many children."""
        self._algorithm.n_offsprings = count
        return [unboxed(child) for child in self._algorithm.ask()]

    def tell(self, objectives: Mapping[PrunedGenome, Objectives]) -> None:
        """Objectives of new genomes, whoever made them. Failed ones are not told: all beat them."""
        scored = Population.new("X", boxed(list(objectives)))
        self._algorithm.tell(infills=_told(scored, objectives))

    @property
    def population(self) -> list[PrunedGenome]:
        """The survivors."""
        return [unboxed(individual) for individual in self._algorithm.pop]


def front_order(objectives: Sequence[Objectives]) -> list[int]:
    """Positions by non-domination rank, within one from lonely to crowded, then by values."""
    if not objectives:
        return []
    values = np.array(objectives, dtype=float)
    order: list[int] = []
    for front in NonDominatedSorting().do(values):
        own = values[front]
        is_small = len(front) < 3  # both are ends
        crowding = np.full(len(front), np.inf) if is_small else calc_crowding_distance(own)
        places = sorted(
            range(len(front)), key=lambda i: (-crowding[i], own[i].tolist(), int(front[i]))
        )
        order += [int(front[place]) for place in places]
    return order


class _Crossover(Crossover):  # type: ignore[misc]
    """Two parents, one child."""

    def __init__(self, cross: Cross) -> None:
        super().__init__(n_parents=2, n_offsprings=1, prob=1.0)
        self._cross = cross

    def _do(
        self, _problem: Problem, X: np.ndarray, *, random_state: np.random.Generator, **_: object
    ) -> np.ndarray:
        pairs = zip(X[0, :, 0], X[1, :, 0], strict=True)
        return boxed([self._child(a, b, random_state) for a, b in pairs])[None]

    def _child(self, a: PrunedGenome, b: PrunedGenome, rng: np.random.Generator) -> PrunedGenome:
        return self._cross(a, b, rng) if rng.random() < CROSSOVER_RATE else a


class _Mutation(Mutation):  # type: ignore[misc]
    """One move on every child."""

    def __init__(self, mutate: Mutate) -> None:
        super().__init__(prob=1.0)
        self._mutate = mutate

    def _do(
        self, _problem: Problem, X: np.ndarray, *, random_state: np.random.Generator, **_: object
    ) -> np.ndarray:
        return boxed([self._mutate(x, random_state) for x in X[:, 0]])


def _told(individuals: Population, objectives: Mapping[PrunedGenome, Objectives]) -> Population:
    """Individuals as pymoo has them once they are evaluated."""
    for individual in individuals:
        tell(individual, objectives[unboxed(individual)])
    return individuals
