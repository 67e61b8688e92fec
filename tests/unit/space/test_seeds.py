"""Seeds: grids, lower starts, curves, the user's own, and the published uniform one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewstep.errors import InvalidInput
from fewstep.spacing import named_grids
from space.seeds import (
    curve_seeds,
    distinct,
    gamma_curve,
    grid_seeds,
    paper_uniform_seed,
    restarts,
    user_seeds,
)
from tests.unit.space.strategies import space_of


@settings(max_examples=25)
@given(st.integers(1, 20), st.integers(1, 4))
def test_all_seeds_are_members(steps: int, min_gap: int) -> None:
    space = space_of(1000, steps, min_gap)
    for seeds in (grids := grid_seeds(space), restarts(grids, space), curve_seeds(space)):
        assert all(space.holds(genome) for genome in seeds.values()), seeds


def test_every_named_grid_is_a_seed() -> None:
    space = space_of(1000, 4)
    assert grid_seeds(space).keys() == named_grids(space.process, 4).keys()
    assert grid_seeds(space)["leading"] == (750, 500, 250, 0)


def test_restarts_start_where_they_say_and_end_where_the_grid_does() -> None:
    space = space_of(1000, 4)
    grids = grid_seeds(space)
    seeds = restarts(grids, space, shares=(0.66,))
    assert seeds.keys() == {f"{name}@659" for name in grids}
    assert all(genome[0] == 659 for genome in seeds.values()), seeds
    assert all(
        genome[-1] == grid[-1] for genome, grid in zip(seeds.values(), grids.values(), strict=True)
    )


def test_some_seed_starts_near_the_best_known_second_order_schedule() -> None:
    starts = [genome[0] for genome in curve_seeds(space_of(1000, 4)).values()]
    assert min(abs(start - 657) for start in starts) < 60


def test_a_gamma_curve_of_power_one_is_linear() -> None:
    assert gamma_curve(900, 0, 1.0, 4) == [900, 600, 300, 0]
    assert gamma_curve(900, 0, 2.0, 4) == [900, 400, 100, 0]
    assert gamma_curve(900, 0, 2.0, 1) == [900]


def test_user_seeds_are_taken_as_given() -> None:
    assert user_seeds(space_of(1000, 2), [[657, 18]]) == {"initial_times[0]": (657, 18)}


@pytest.mark.parametrize("indices", [[1000, 0], [5], [5, 5], [5, 9], [3, -1]])
def test_a_bad_user_seed_is_named(indices: list[int]) -> None:
    with pytest.raises(InvalidInput, match=r"initial_times\[1\]"):
        user_seeds(space_of(1000, 2), [[657, 18], indices])


@pytest.mark.parametrize(
    ("steps", "stride"), [(4, 250), (6, 167), (10, 100), (15, 67), (2, 500), (1000, 1)]
)
def test_the_published_uniform_seed_has_the_smallest_fitting_stride(
    steps: int, stride: int
) -> None:
    genome = paper_uniform_seed(space_of(1000, steps))
    assert genome == tuple(stride * i for i in reversed(range(steps)))
    assert len(range(0, 1000, stride)) == steps
    assert stride == 1 or len(range(0, 1000, stride - 1)) > steps


@pytest.mark.parametrize("steps", [1, 37, 41, 43, 45, 47, 49, 51])
def test_the_published_uniform_seed_is_undefined_for_some_steps(steps: int) -> None:
    with pytest.raises(InvalidInput, match=f"steps={steps}: the published uniform seed") as caught:
        paper_uniform_seed(space_of(1000, steps))
    assert caught.value.field == "steps"


def test_the_published_seed_of_multistep_solvers_is_uniform_in_time_from_the_noisiest() -> None:
    assert paper_uniform_seed(space_of(1000, 4, solver="dpm-solver++-2m")) == (999, 749, 500, 250)


def test_distinct_keeps_the_first_name_of_a_genome() -> None:
    assert distinct([{"a": (3, 1), "b": (2, 1)}, {"c": (3, 1)}]) == {"a": (3, 1), "b": (2, 1)}
