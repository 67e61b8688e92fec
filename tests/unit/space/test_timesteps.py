"""The space of index lists and its candidates."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewstep.errors import InvalidInput
from fewstep.process import VPDiscrete
from space.timesteps import TimestepSpace
from tests.unit.space.strategies import genomes, space_of, spaces


@given(st.data())
def test_genome_and_candidate_are_inverse(data: st.DataObject) -> None:
    space = data.draw(spaces())
    genome = data.draw(genomes(space))
    assert space.genome(space.candidate(genome)) == genome


@given(st.integers(0, 199))
def test_the_index_near_an_index_s_level_is_that_index(k: int) -> None:
    space = space_of(200, 4)
    assert space.index_near(space.lams[k]) == k


def test_levels_outside_the_range_give_its_ends() -> None:
    space = space_of(200, 4)
    assert (space.index_near(-1e9), space.index_near(1e9)) == (199, 0)


def test_levels_fall_with_the_index() -> None:
    lams = TimestepSpace(VPDiscrete.linear(), "ddim", 4).lams
    assert all(a > b for a, b in pairwise(lams))


@pytest.mark.parametrize("genome", [(1, 2), (5, 5), (200, 1), (5, -1), (5,), (5, 3, 1), (5, 4)])
def test_non_members_have_no_candidate(genome: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match="genome="):
        space_of(200, 2, 2).candidate(genome)


@pytest.mark.parametrize(("steps", "min_gap"), [(0, 1), (201, 1), (101, 2), (4, 0)])
def test_a_space_without_members_is_refused(steps: int, min_gap: int) -> None:
    with pytest.raises(InvalidInput):
        TimestepSpace(VPDiscrete.linear(200), "ddim", steps, min_gap)


def test_aliases_of_a_solver_are_one_space() -> None:
    spaces_by_alias = {TimestepSpace(space_of(200, 4).process, s, 4) for s in ("ddim", "euler")}
    assert len(spaces_by_alias) == 1


def test_extreme_extrapolation_is_infeasible_for_a_multistep_solver_only() -> None:
    genome = (999, 998, 200, 0)
    process = VPDiscrete.linear()
    assert TimestepSpace(process, "ddim", 4).is_feasible(genome)
    assert not TimestepSpace(process, "dpm-solver++-2m", 4).is_feasible(genome)
