"""Seconds as costs: what is measured, and tables that hold against noise."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewstep.errors import InvalidInput
from fewstep.networks.pruning.configuration import NetworkConfiguration
from search.pruning import prune
from search.pruning_seconds import configurations_to_measure, costs_of_seconds, falling
from space.architecture_cost import GenomeCosts
from space.architectures import ArchitectureGenome
from tests.unit.search.analytic import play
from tests.unit.search.pruning_cases import STEPS, architectures, judge, plan_of

SPACE = architectures("steps")
PASSES = (1, 2, 1, 1)
CONFIGURATIONS = configurations_to_measure(SPACE)
FULL = NetworkConfiguration()


def table(seed: int, noise: float, scale: float = 1e-3) -> dict[NetworkConfiguration, float]:
    """A network of 3 fixed milliseconds and one for each block, measured with noise."""
    rng = np.random.default_rng(seed)
    units = {block.name: block.units for block in SPACE.blocks}
    found = {}
    for configuration in CONFIGURATIONS:
        cut = sum(1.0 - len(c.kept) / units[name] for name, c in configuration.choices)
        found[configuration] = scale * (3.0 + len(units) - cut) * (1.0 + noise * rng.normal())
    return found


def test_each_place_is_measured_once_and_a_reused_body_as_a_removed_one() -> None:
    assert CONFIGURATIONS[0] == FULL
    assert len(set(CONFIGURATIONS)) == len(CONFIGURATIONS)
    places = sum(ladder.size - 1 for ladder in SPACE.ladders)
    assert len(CONFIGURATIONS) == 1 + places - len(SPACE.blocks)
    assert all(len(c.choices) == 1 and not c.reused for c in CONFIGURATIONS[1:])
    for configuration in CONFIGURATIONS:
        configuration.check(SPACE.blocks)


def test_without_noise_seconds_add_up() -> None:
    costs = costs_of_seconds(SPACE, table(0, 0.0), PASSES)
    blocks = len(SPACE.blocks)
    assert costs.full == pytest.approx(5 * 1e-3 * (3 + blocks))
    bodiless = tuple(ladder.size - 1 for ladder in SPACE.ladders)
    assert costs.network(bodiless) == pytest.approx(3e-3)
    half = ArchitectureGenome((SPACE.full_widths, bodiless), (0, 1, 0, 0))
    assert costs.cost(half) == pytest.approx(1e-3 * (3 * (3 + blocks) + 2 * 3))


@settings(max_examples=25)
@given(st.integers(0, 1000), st.sampled_from([0.01, 0.1, 0.5]), st.sampled_from([1e-5, 1.0]))
def test_tables_fall_keep_the_full_time_and_leave_some(
    seed: int, noise: float, scale: float
) -> None:
    seconds = {c: max(value, 1e-9) for c, value in table(seed, noise, scale).items()}
    costs = costs_of_seconds(SPACE, seconds, PASSES)
    assert costs.full == pytest.approx(sum(PASSES) * seconds[FULL], rel=1e-4)
    for row in costs.of_place:
        assert all(a >= b for a, b in pairwise(row))
    bodiless = tuple(ladder.size - 1 for ladder in SPACE.ladders)
    assert costs.network(bodiless) > 0.009 * seconds[FULL]


@settings(max_examples=25)
@given(st.integers(0, 1000), st.lists(st.integers(0, 2), min_size=STEPS, max_size=STEPS))
def test_the_full_network_takes_all_however_its_steps_are_divided(
    seed: int, of_step: list[int]
) -> None:
    """Sums of floats differ by their order, and a share of 1.0000000000000002 is over a limit."""
    costs = costs_of_seconds(SPACE, table(seed, 0.05), PASSES)
    genome = ArchitectureGenome((SPACE.full_widths,) * 3, tuple(of_step))
    assert costs.share(genome) == 1.0


@given(st.lists(st.floats(0.1, 10.0), max_size=8))
def test_falling_is_the_same_where_it_falls_and_keeps_the_mean(values: list[float]) -> None:
    found = falling(values)
    assert all(a >= b for a, b in pairwise(found))
    assert sum(found) == pytest.approx(sum(values))
    assert falling(sorted(values, reverse=True)) == sorted(values, reverse=True)


def test_falling_pools_neighbours_that_grow() -> None:
    assert falling([5.0, 1.0, 3.0, 2.0]) == [5.0, 2.0, 2.0, 2.0]


def test_a_configuration_that_was_not_measured_is_named() -> None:
    seconds = table(0, 0.0)
    missing = CONFIGURATIONS[3]
    del seconds[missing]
    with pytest.raises(InvalidInput, match=next(iter(missing.to_dict()))) as caught:
        costs_of_seconds(SPACE, seconds, PASSES)
    assert caught.value.field == "seconds"


@pytest.mark.parametrize("costs", [(-1, ((1, 0),)), (0.0, ((1.0, float("nan")),)), (1, ((1, 2),))])
def test_costs_are_finite_and_never_grow_down_a_ladder(
    costs: tuple[float, tuple[tuple[float, ...], ...]],
) -> None:
    with pytest.raises(InvalidInput, match="costs"):
        GenomeCosts(*costs, passes=(1,))


def test_the_search_runs_on_seconds_within_a_budget_of_them() -> None:
    plan = plan_of("steps", most=0.8, budget=30 * 64 * STEPS)
    costs = costs_of_seconds(plan.space, table(3, 0.05), (1,) * STEPS)
    plan = replace(plan, bounded=replace(plan.bounded, costs=costs))
    outcome, _ = play(prune(plan), judge)
    assert 0.7 < outcome.points[0].share <= 0.8
    assert outcome.points[0].cost == pytest.approx(outcome.points[0].share * costs.full)
