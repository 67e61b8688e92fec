"""NSGA-II on pymoo: seeded, told by anyone, and ordered along its fronts."""

from __future__ import annotations

import numpy as np

from search.pruning_plan import PrunedGenome
from search.pymoo_front import FrontGA, Objectives, front_order
from space.architectures import ArchitectureGenome

SIZE = 20


def genome(*widths: int) -> PrunedGenome:
    return PrunedGenome((1,), ArchitectureGenome((widths,), (0,)))


def objectives(one: PrunedGenome) -> Objectives:
    """Two ends that cannot both be reached; everything off a line is beaten."""
    ((x, y),) = one.architecture.widths
    return float(x + y**2), float(SIZE - x + y**2)


def mutate(one: PrunedGenome, rng: np.random.Generator) -> PrunedGenome:
    ((x, y),) = one.architecture.widths
    steps = rng.integers(-2, 3, size=2)
    return genome(min(max(x + int(steps[0]), 0), SIZE), max(y + int(steps[1]), 0))


def cross(a: PrunedGenome, b: PrunedGenome, _rng: np.random.Generator) -> PrunedGenome:
    return genome(a.architecture.widths[0][0], b.architecture.widths[0][1])


def ga_of(parents: dict[PrunedGenome, Objectives], seed: int = 0) -> FrontGA:
    rng = np.random.default_rng(seed)
    return FrontGA(parents, mutate=mutate, cross=cross, population=8, rng=rng)


def evolve(seed: int) -> list[list[PrunedGenome]]:
    start = {one: objectives(one) for one in (genome(x, 9) for x in range(5, 12))}
    ga, asked = ga_of(start, seed), []
    for _ in range(25):
        asked.append(children := ga.ask(10))
        ga.tell({child: objectives(child) for child in children if child not in ga.population})
    return [*asked, ga.population]


def test_it_finds_and_spreads_over_the_front() -> None:
    *_, population = evolve(0)
    places = [one.architecture.widths[0] for one in population]
    assert all(y == 0 for _, y in places), places
    assert max(x for x, _ in places) - min(x for x, _ in places) > SIZE / 2, places


def test_it_is_a_function_of_its_seed() -> None:
    assert evolve(5) == evolve(5)
    assert evolve(5) != evolve(6)


def test_one_objective_is_ranked_by_it() -> None:
    ga = ga_of({genome(x, 0): (float(x),) for x in range(20)})
    assert {one.architecture.widths[0][0] for one in ga.population} == set(range(8))
    ga.tell({genome(0, 5): (-1.0,)})
    assert genome(0, 5) in ga.population
    assert genome(7, 0) not in ga.population


def test_a_single_parent_and_nothing_told_are_enough() -> None:
    ga = ga_of({genome(3, 3): (1.0, 2.0)})
    assert len(ga.ask(7)) == 7
    ga.tell({})
    assert ga.population == [genome(3, 3)]


def test_order_is_by_rank_then_ends_then_loneliness() -> None:
    front: list[Objectives] = [(1.0, 9.0), (2.0, 8.0), (3.0, 7.5), (8.0, 2.0), (9.0, 1.0)]
    behind: list[Objectives] = [(9.0, 9.0), (2.5, 8.5)]
    order = front_order([*behind, *front])
    assert order[:2] == [2, 6], "the best FID, then the cheapest"
    assert set(order[:5]) == {2, 3, 4, 5, 6}
    assert order[2] == 5
    assert order[5:] == [1, 0]
    assert front_order([]) == []
