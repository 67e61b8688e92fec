"""Which children are scored."""

from __future__ import annotations

import numpy as np
import pytest

from search.picking import pick
from search.surrogate import coordinates, distances
from space.operators import mutate
from space.timesteps import Genome
from tests.unit.space.strategies import space_of

SPACE = space_of(1000, 4, solver="dpm-solver++-2m")
BEST = (657, 514, 258, 18)


def bowl(genome: Genome) -> float:
    return 0.1 + sum(
        (SPACE.lams[a] - SPACE.lams[b]) ** 2 for a, b in zip(genome, BEST, strict=True)
    )


def near(count: int, seed: int) -> list[Genome]:
    rng = np.random.default_rng(seed)
    pool = (mutate(BEST, SPACE, rng, 0.4) for _ in range(count))
    return [genome for genome in dict.fromkeys(pool) if SPACE.is_feasible(genome)]


KNOWN = {genome: bowl(genome) for genome in near(40, 0)}


def test_the_promising_of_a_pool_are_picked() -> None:
    pool = [genome for genome in near(100, 1) if genome not in KNOWN]
    picked = pick(pool, [KNOWN], SPACE, count=6, apart=0.0)
    ranked = sorted(pool, key=bowl)
    assert len(picked) == 6
    assert set(picked) <= set(ranked[: len(ranked) // 2])


def test_what_is_known_on_the_last_rung_is_not_picked_again() -> None:
    assert pick(list(KNOWN), [KNOWN], SPACE, count=6, apart=0.0) == []
    few = dict(list(KNOWN.items())[:3])
    assert not set(pick(list(KNOWN), [KNOWN, few], SPACE, count=6, apart=0.0)) & few.keys()


@pytest.mark.parametrize("apart", [0.1, 0.5])
def test_no_two_picked_are_near_each_other(apart: float) -> None:
    picked = pick(near(200, 2), [KNOWN], SPACE, count=8, apart=apart)
    points = coordinates(SPACE, picked)
    gaps = distances(points, points)[~np.eye(len(points), dtype=bool)]
    assert len(picked) > 1
    assert gaps.min() >= apart


def test_infeasible_children_are_never_picked() -> None:
    infeasible = [(999 - i, 998 - i, 200, 0) for i in range(20)]
    assert not any(map(SPACE.is_feasible, infeasible))
    assert pick(infeasible, [KNOWN], SPACE, count=5, apart=0.0) == []
    feasible = (700, 500, 250, 30)
    assert pick([*infeasible, feasible], [KNOWN], SPACE, count=5, apart=0.0) == [feasible]
