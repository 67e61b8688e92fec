"""The genetic algorithm on pymoo."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest

from search.pymoo_ga import ScheduleGA, spread
from space.operators import random_genome
from space.timesteps import Genome, TimestepSpace
from tests.unit.space.strategies import space_of

TARGET = (657, 514, 258, 18)
SPACE = space_of(1000, 4)


def fitness(genome: Genome) -> float:
    return sum((SPACE.lams[a] - SPACE.lams[b]) ** 2 for a, b in zip(genome, TARGET, strict=True))


def first_generation(space: TimestepSpace = SPACE, count: int = 12) -> dict[Genome, float]:
    rng = np.random.default_rng(1)
    return {genome: fitness(genome) for genome in (random_genome(space, rng) for _ in range(count))}


def ga_of(parents: Mapping[Genome, float], seed: int = 0, population: int = 8) -> ScheduleGA:
    return ScheduleGA(
        SPACE,
        parents,
        niche=lambda genome: genome[0] // 100,
        population=population,
        scale=0.5,
        rng=np.random.default_rng(seed),
    )


def evolve(seed: int, generations: int = 30) -> list[list[Genome]]:
    ga = ga_of(first_generation(), seed)
    asked = []
    for _ in range(generations):
        children = ga.ask(16)
        asked.append(children)
        ga.tell({child: fitness(child) for child in children})
        ga.scale *= 0.9
    return [*asked, ga.population]


def test_it_finds_the_optimum_of_a_smooth_function() -> None:
    start = min(first_generation().values())
    for seed in range(3):
        *_, population = evolve(seed)
        assert fitness(population[0]) < 0.02 * start, (seed, population[0])


def test_it_is_a_function_of_its_seed() -> None:
    assert evolve(5) == evolve(5)
    assert evolve(5) != evolve(6)


def test_children_are_new_members_of_the_space() -> None:
    parents = first_generation()
    children = ga_of(parents).ask(40)
    assert len(children) == len(set(children)) == 40
    assert not set(children) & set(parents)
    assert all(SPACE.holds(child) for child in children)


def test_only_the_children_that_were_scored_enter_the_population() -> None:
    ga = ga_of(first_generation())
    children = ga.ask(40)
    ga.tell(dict.fromkeys(children[3:6], -1.0))
    assert set(children) & set(ga.population) == set(children[3:6])


def test_failed_children_do_not_displace_parents() -> None:
    parents = first_generation(count=8)
    ga = ga_of(parents)
    ga.tell(dict.fromkeys(ga.ask(40), math.inf))
    assert set(ga.population) == set(parents)


def test_survivors_are_spread_over_niches() -> None:
    crowd: dict[Genome, float] = {(900, 500, 200, k): 0.1 + k / 1000 for k in range(10)}
    loner: dict[Genome, float] = {(400, 300, 200, 100): 5.0}
    population = ga_of(crowd | loner).population
    assert population[:3] == [(900, 500, 200, 0), (900, 500, 200, 1), (400, 300, 200, 100)]
    assert len(population) == 8


def test_a_single_parent_is_enough() -> None:
    ga = ga_of({TARGET: 0.0})
    assert len(ga.ask(10)) == 10


def test_an_exhausted_space_gives_fewer_children_and_no_hang() -> None:
    space = space_of(4, 3)
    ga = ScheduleGA(
        space,
        {(3, 2, 1): 1.0, (3, 2, 0): 2.0},
        niche=lambda genome: genome[0],
        population=4,
        scale=0.5,
        rng=np.random.default_rng(0),
    )
    children = ga.ask(10)
    assert set(children) == {(3, 1, 0), (2, 1, 0)}


@pytest.mark.parametrize(
    ("niches", "per_niche", "order"),
    [([1, 1, 1, 2], 2, [0, 1, 3, 2]), ([1, 2, 3], 1, [0, 1, 2]), ([], 2, []), ([7, 7], 1, [0, 1])],
)
def test_spread_puts_the_first_of_each_niche_before_the_rest(
    niches: list[int], per_niche: int, order: list[int]
) -> None:
    assert spread(niches, per_niche) == order
