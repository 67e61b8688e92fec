"""Choices of solver options: members of their space, and back from the candidate they mean."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewstep.errors import InvalidInput
from space import operators
from space.choices import (
    changed,
    coordinates,
    neighbours,
    option_values,
    start_choices,
    uniform_choices,
)
from space.operators import Move, mutate, random_genome
from space.seeds import grid_seeds, option_seeds, user_seeds
from space.timesteps import TimestepSpace
from tests.unit.space.strategies import generators, process

MOVES = [move for _, move in operators.MOVES] + [mutate]
CROSSOVERS = [operators.crossover_by_level, operators.crossover_by_position]
STEPS = 5
# Options of each step, one for all steps, ones that must go together, and ones that change calls.
SEARCHED = {
    "dpm-solver++-2m": ("order", "solver_type"),
    "unipc-2": ("corrector", "order"),
    "scire-2": ("phi",),
    "ltsp4": ("order", "gradient"),
    "plms4": ("order",),
}


@lru_cache
def space_of(solver: str, steps: int = STEPS) -> TimestepSpace:
    return TimestepSpace(process(200), solver, steps, searched=SEARCHED[solver])


solvers = st.sampled_from(sorted(SEARCHED))


@given(solvers, generators)
def test_random_genomes_are_members_and_come_back_from_their_candidates(
    solver: str, rng: np.random.Generator
) -> None:
    space = space_of(solver)
    genome = random_genome(space, rng)
    assert space.holds(genome), genome
    assert space.allows(space.choices(genome)), genome
    assert space.genome(space.candidate(genome)) == genome


@pytest.mark.parametrize("move", MOVES, ids=lambda move: move.__name__)
@given(solvers, generators)
def test_moves_stay_in_the_space(move: Move, solver: str, rng: np.random.Generator) -> None:
    space = space_of(solver)
    child = move(random_genome(space, rng), space, rng, 0.3)
    assert space.holds(child), child


@pytest.mark.parametrize("cross", CROSSOVERS, ids=lambda cross: cross.__name__)
@given(solvers, generators)
def test_crossovers_stay_in_the_space_and_take_each_choice_from_a_parent(
    cross: operators.Crossover, solver: str, rng: np.random.Generator
) -> None:
    space = space_of(solver)
    a, b = random_genome(space, rng), random_genome(space, rng)
    child = cross(a, b, space, rng)
    assert space.holds(child), child
    assert space.allows(space.choices(child)), child
    parents = zip(space.choices(child), space.choices(a), space.choices(b), strict=True)
    assert all(mine in (x, y) for mine, x, y in parents), (a, b, child)


@given(solvers, generators)
def test_a_change_of_choices_changes_some_and_keeps_their_ranges(
    solver: str, rng: np.random.Generator
) -> None:
    space = space_of(solver)
    before = space.choices(random_genome(space, rng))
    after = changed(space.genes, before, rng)
    assert after != before
    assert space.holds((*range(STEPS - 1, -1, -1), *after))


def test_there_is_a_choice_for_each_step_whose_option_is_used() -> None:
    genes = space_of("dpm-solver++-2m").genes
    places = [(gene.option, gene.step) for gene in genes]
    # `trace` takes the last step, to the clean level; the option has no meaning there.
    assert places == [*(("order", i) for i in range(STEPS - 1)), ("solver_type", None)]
    assert [g.step for g in space_of("ltsp4").genes if g.option == "order"] == [0, 1, 2, 3, 4]


def test_searches_start_at_the_defaults() -> None:
    for solver in SEARCHED:
        space = space_of(solver)
        for genome in grid_seeds(space).values():
            assert space.candidate(genome).options == (), solver
        (own,) = user_seeds(space, [[90, 70, 50, 30, 10]]).values()
        assert space.choices(own) == start_choices(space.genes)


def test_variants_hold_one_value_in_all_steps_and_are_allowed() -> None:
    space = space_of("dpm-solver++-2m")
    assert uniform_choices(space.genes) == [(0, 0, 0, 0, 0), (1, 1, 1, 1, 1)]
    split = space_of("ltsp4")
    seeds = option_seeds({"grid": split.started((90, 70, 50, 30, 10))}, split)
    options = [dict(split.candidate(genome).options) for genome in seeds.values()]
    gradients = [found["gradient"] for found in options if "gradient" in found]
    assert gradients == [("evaluate", *["reuse"] * 4), ("omit",) * 5]


def test_choices_that_do_not_go_together_or_take_other_calls_are_not_feasible() -> None:
    split = space_of("ltsp4")
    genes = [gene.option for gene in split.genes]
    reused = tuple(1 if option == "gradient" else 3 for option in genes)
    assert not split.allows(reused), "nothing to reuse in the first step"
    assert not split.is_feasible((180, 140, 100, 60, 20, *reused))
    plms = space_of("plms4")
    calls = {
        plms.entry.nfe_of_steps(STEPS, option_values(plms.genes, c, plms.entry, STEPS)): c
        for c in uniform_choices(plms.genes)
    }
    for nfe, choices in calls.items():
        assert plms.allows(choices) == (nfe == plms.nfe), (nfe, choices)


def test_ordered_choices_have_neighbours_and_others_have_axes() -> None:
    genes = space_of("dpm-solver++-2m").genes
    assert neighbours(genes, (0, 1, 1, 0, 0), 1) == [(0, 0, 1, 0, 0)]
    assert coordinates(genes, (0, 1, 1, 0, 1)) == [0.0, 1.0, 1.0, 0.0, 0.0, 1.0]
    phi = space_of("scire-2").genes
    inner = neighbours(phi, (2,) * len(phi), 0)
    assert [choices[0] for choices in inner] == [1, 3]


def test_without_searched_options_there_are_no_choices() -> None:
    space = TimestepSpace(process(200), "dpm-solver++-2m", STEPS, options=(("order", 1),))
    assert space.genes == ()
    assert space.candidate((90, 70, 50, 30, 10)).options == (("order", (1,) * STEPS),)


def test_options_that_are_not_allowed_are_refused() -> None:
    space = TimestepSpace(process(200), "dpm-solver++-2m", STEPS, options=(("order", 9),))
    with pytest.raises(InvalidInput, match="1 to 2"):
        space.candidate((90, 70, 50, 30, 10))
