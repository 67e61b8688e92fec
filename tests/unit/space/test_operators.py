"""Operators: whatever they do, members come out."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from space import operators
from space.operators import Move, moved, mutate, random_genome, restarted
from space.timesteps import Genome, TimestepSpace
from tests.unit.space.strategies import generators, genomes, space_of, spaces

Cross = Callable[[Genome, Genome, TimestepSpace, np.random.Generator], Genome]
MOVES = [move for _, move in operators.MOVES] + [mutate]
CROSSOVERS = [
    operators.crossover,
    operators.crossover_by_level,
    operators.crossover_by_position,
]


@pytest.mark.parametrize("move", MOVES, ids=lambda move: move.__name__)
@given(st.data(), generators, st.sampled_from([0.01, 0.3, 3.0]))
def test_moves_stay_in_the_space(
    move: Move, data: st.DataObject, rng: np.random.Generator, scale: float
) -> None:
    space = data.draw(spaces())
    child = move(data.draw(genomes(space)), space, rng, scale)
    assert space.holds(child), child


@pytest.mark.parametrize("cross", CROSSOVERS, ids=lambda cross: cross.__name__)
@given(st.data(), generators)
def test_crossovers_stay_in_the_space(
    cross: Cross, data: st.DataObject, rng: np.random.Generator
) -> None:
    space = data.draw(spaces())
    child = cross(data.draw(genomes(space)), data.draw(genomes(space)), space, rng)
    assert space.holds(child), child


@given(st.data(), generators)
def test_random_genomes_are_members(data: st.DataObject, rng: np.random.Generator) -> None:
    space = data.draw(spaces())
    assert space.holds(random_genome(space, rng))


@given(st.data(), generators)
def test_crossover_by_position_takes_every_point_from_a_parent_where_they_fit(
    data: st.DataObject, rng: np.random.Generator
) -> None:
    space = space_of(200, 4)
    low = data.draw(st.lists(st.integers(0, 99), min_size=4, max_size=4, unique=True))
    parents = [tuple(sorted((2 * k + side for k in low), reverse=True)) for side in (0, 1)]
    child = operators.crossover_by_position(parents[0], parents[1], space, rng)
    assert all(k in (a, b) for k, a, b in zip(child, *parents, strict=True)), (parents, child)


@given(generators)
def test_crossover_by_level_keeps_one_parent_s_noisy_end_and_the_other_s_clean_end(
    rng: np.random.Generator,
) -> None:
    space = space_of(1000, 4)
    a, b = (950, 700, 300, 40), (930, 650, 290, 20)
    child = operators.crossover_by_level(a, b, space, rng)
    cuts = [i for i in range(5) if child == (*a[:i], *b[i:])]
    assert cuts or set(child) - set(a) - set(b) or len({*a, *b} & set(child)) == 4


@given(st.data(), generators)
def test_jitter_moves_at_least_one_point_where_there_is_room(
    data: st.DataObject, rng: np.random.Generator
) -> None:
    space = space_of(1000, 4)
    genome = tuple(sorted(data.draw(st.sets(st.integers(100, 899), min_size=4, max_size=4)))[::-1])
    if all(a - b > 2 for a, b in pairwise(genome)):
        assert operators.jitter(genome, space, rng, 1e-9) != genome


def test_a_restart_keeps_the_end_and_the_shape_in_level() -> None:
    space = space_of(1000, 4)
    genome = (999, 700, 300, 20)
    lower = restarted(genome, 600, space)
    assert (lower[0], lower[-1]) == (600, 20)

    def shape(indices: Genome) -> np.ndarray:
        lams = np.array([space.lams[k] for k in indices])
        return np.asarray((lams - lams[0]) / (lams[-1] - lams[0]))

    np.testing.assert_allclose(shape(lower), shape(genome), atol=0.005)


def test_moving_by_nothing_changes_nothing_and_a_tiny_step_changes_one_index() -> None:
    space = space_of(1000, 4)
    genome = (999, 700, 300, 20)
    assert moved(genome, [0.0] * 4, space) == genome
    assert moved(genome, [0.0, 1e-12, 0.0, -1e-12], space) == (999, 699, 300, 21)


def test_equal_generators_give_equal_children() -> None:
    space = space_of(1000, 4)
    runs = []
    for _ in range(2):
        rng = np.random.default_rng(5)
        runs.append([mutate((999, 700, 300, 20), space, rng, 0.3) for _ in range(50)])
    assert runs[0] == runs[1]
    assert len(set(runs[0])) > 25


def test_every_move_of_the_mixture_is_drawn() -> None:
    assert sum(weight for weight, _ in operators.MOVES) == pytest.approx(1.0)
    space, rng = space_of(1000, 4), np.random.default_rng(0)
    starts = {mutate((900, 700, 300, 20), space, rng, 0.1)[0] for _ in range(300)}
    assert min(starts) < 700, "the start level is searched"
    assert max(starts) > 950
