"""Repair: members stay, everything else becomes the nearest member."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from space.repair import repair
from tests.unit.space.strategies import genomes, space_of, spaces


@given(st.data())
def test_any_integers_become_a_member(data: st.DataObject) -> None:
    space = data.draw(spaces())
    values = data.draw(st.lists(st.integers(-50, 400), min_size=space.steps, max_size=space.steps))
    genome = repair(values, space)
    assert space.holds(genome), genome
    assert repair(genome, space) == genome


@given(st.data())
def test_members_in_any_order_come_back_as_they_are(data: st.DataObject) -> None:
    space = data.draw(spaces())
    genome = data.draw(genomes(space))
    assert repair(data.draw(st.permutations(genome)), space) == genome


@given(st.lists(st.integers(0, 9), min_size=3, max_size=3), st.integers(1, 3))
def test_no_member_is_nearer_in_total_movement(values: list[int], min_gap: int) -> None:
    space = space_of(10, 3, min_gap)

    def movement(genome: tuple[int, ...]) -> int:
        return sum(abs(a - b) for a, b in zip(genome, sorted(values, reverse=True), strict=True))

    members = [m for m in combinations(range(9, -1, -1), 3) if space.holds(m)]
    assert movement(repair(values, space)) == min(map(movement, members))


@pytest.mark.parametrize(
    ("values", "genome"),
    [
        ((999, 70, 9, 9), (999, 70, 9, 8)),
        ((5, 5, 6, 500), (500, 6, 5, 4)),
        ((999, 999, 999, 0), (999, 998, 997, 0)),
        ((0, 0, 0, 0), (3, 2, 1, 0)),
        ((1500, -20, 30, 40), (999, 40, 30, 0)),
    ],
)
def test_duplicates_go_to_the_nearest_free_value(
    values: tuple[int, ...], genome: tuple[int, ...]
) -> None:
    assert repair(values, space_of(1000, 4)) == genome


def test_a_wrong_number_of_values_is_a_bug() -> None:
    with pytest.raises(ValueError, match="takes 4 values, got 3"):
        repair((1, 2, 3), space_of(1000, 4))
