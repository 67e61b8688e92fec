"""Fronts: what dominance, hypervolume and being above mean, on any points."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewstep.errors import InvalidInput
from search.fronts import (
    Point,
    above,
    dominated_by,
    dominates,
    hypervolume,
    non_dominated,
    union,
)

NUMBERS = ("cost", "fid", "standard_error")

# Few distinct values, so that equal costs and distances come up.
numbers = st.integers(0, 12).map(lambda n: n / 4)
points = st.builds(
    Point,
    cost=numbers,
    fid=numbers,
    standard_error=st.sampled_from([0.0, 0.1, 0.5]),
    name=st.text("abc", max_size=2),
)
fronts = st.lists(points, max_size=12)
references = st.tuples(numbers, numbers)


def point(cost: float, fid: float, error: float = 0.0, name: str = "") -> Point:
    return Point(cost=cost, fid=fid, standard_error=error, name=name)


@given(fronts, st.randoms(use_true_random=False))
def test_order_does_not_matter(given_points: list[Point], random: Random) -> None:
    shuffled = random.sample(given_points, len(given_points))
    assert non_dominated(shuffled) == non_dominated(given_points)
    assert hypervolume(shuffled, (2.0, 2.0)) == hypervolume(given_points, (2.0, 2.0))
    other = [point(1.0, 1.0, 0.2), point(2.0, 0.5)]
    assert above(shuffled, other) == above(given_points, other)
    assert above(other, shuffled) == above(other, given_points)


@given(fronts)
def test_the_front_is_what_nothing_dominates_by_the_definition(found: list[Point]) -> None:
    slow = {p for p in found if not any(dominates(q, p) for q in found)}
    assert non_dominated(found) == sorted(slow)
    for p in found:
        assert (dominated_by(p, found) == []) == (p in slow)


@given(fronts.filter(bool), points, references)
def test_a_dominated_point_changes_nothing(
    found: list[Point], worse: Point, reference: tuple[float, float]
) -> None:
    best = non_dominated(found)[0]
    added = point(best.cost + worse.cost, best.fid + worse.fid + 0.25, worse.standard_error)
    assert dominated_by(added, found)
    assert non_dominated([*found, added]) == non_dominated(found)
    assert hypervolume([*found, added], reference) == hypervolume(found, reference)


@given(fronts, points, references)
def test_the_hypervolume_never_falls_when_a_point_or_room_is_added(
    found: list[Point], more: Point, reference: tuple[float, float]
) -> None:
    area = hypervolume(found, reference)
    assert 0.0 <= area <= hypervolume([*found, more], reference) + 1e-12
    farther = (reference[0] + 0.5, reference[1] + 0.25)
    assert area <= hypervolume(found, farther) + 1e-12
    assert hypervolume([more], (more.cost, more.fid + 1.0)) == 0.0, "on the border"


@given(fronts.filter(bool), references)
def test_the_hypervolume_agrees_with_pymoo(
    found: list[Point], reference: tuple[float, float]
) -> None:
    from pymoo.indicators.hv import HV

    values = np.array([[p.cost, p.fid] for p in found])
    expected = float(HV(ref_point=np.array(reference))(values))
    assert math.isclose(hypervolume(found, reference), expected, abs_tol=1e-12)


def test_a_hypervolume_by_hand() -> None:
    found = [point(1, 3), point(2, 1), point(2.5, 2)]  # the last is dominated
    assert hypervolume(found, (4, 4)) == 3 * 1 + 2 * 2
    assert hypervolume([], (4, 4)) == 0.0


def test_equals_do_not_dominate_one_another() -> None:
    a, b = point(1, 1, name="a"), point(1, 1, 0.3, name="b")
    assert non_dominated([b, a, a]) == [a, b]
    assert dominated_by(a, [a, b]) == []
    assert dominated_by(point(1, 2), [b, point(2, 1), a]) == [a, b]


@given(fronts.filter(bool), st.floats(0, 4))
def test_no_front_lies_above_itself_or_a_part_of_itself(found: list[Point], sigmas: float) -> None:
    for part in (found, non_dominated(found), found[:1]):
        rows = above(found, part, sigmas=sigmas)
        assert [row.other for row in rows] == sorted(part)
        assert not any(row.is_above for row in rows), rows
        assert all(row.difference <= 0.0 for row in rows), rows


@given(fronts, fronts, points)
def test_more_points_never_put_us_farther_above(
    ours: list[Point], theirs: list[Point], more: Point
) -> None:
    before, after = above(ours, theirs), above([*ours, more], theirs)
    for row, better in zip(before, after, strict=True):
        assert better.difference <= row.difference
        assert better.ours is None or better.ours.cost <= better.other.cost


@pytest.mark.parametrize(
    ("fid", "errors", "is_above"),
    [
        (10.49, (0.15, 0.2), False),  # 2 * sqrt(0.15^2 + 0.2^2) = 0.5
        (10.51, (0.15, 0.2), True),
        (10.0, (0.0, 0.0), False),
        (10.001, (0.0, 0.0), True),
        (9.0, (0.0, 0.0), False),
    ],
)
def test_above_means_more_than_two_combined_errors(
    fid: float, errors: tuple[float, float], is_above: bool
) -> None:
    ours = [point(0.5, 11.0), point(0.7, fid, errors[0], "ours"), point(0.9, 1.0)]
    (row,) = above(ours, [point(0.8, 10.0, errors[1])])
    assert row.ours is not None
    assert row.ours.name == "ours", "the best of those that cost no more"
    assert row.difference == pytest.approx(fid - 10.0)
    assert row.error == pytest.approx(math.hypot(*errors))
    assert row.is_above is is_above


def test_having_nothing_as_cheap_is_above() -> None:
    (row,) = above([point(0.9, 1.0)], [point(0.8, 50.0, 0.1)])
    assert (row.ours, row.difference, row.is_above) == (None, math.inf, True)
    assert above([], []) == []


def test_a_union_marks_pruned_points_that_shorter_schedules_dominate() -> None:
    six = [point(6.0, 8.0, name="six"), point(4.5, 9.0, name="six-75"), point(4.2, 15.0, name="x")]
    four = [point(4.0, 12.0, name="four"), point(3.6, 12.5, name="four-90")]
    rows = union({6: six, 4: four})
    assert [row.point.name for row in rows] == ["four-90", "four", "x", "six-75", "six"]
    assert [row.calls for row in rows] == [4, 4, 6, 6, 6]
    assert [row.is_on_front for row in rows] == [True, True, False, True, True]
    assert [row.shorter for row in rows] == [(), (), ("four-90", "four"), (), ()]


def test_points_dominated_at_their_own_calls_alone_have_no_shorter_one() -> None:
    rows = union({4: [point(1, 1, name="a"), point(2, 2, name="b")], 6: [point(0.5, 9, name="c")]})
    assert {row.point.name: row.shorter for row in rows} == {"a": (), "b": (), "c": ()}
    assert [row.is_on_front for row in rows] == [True, True, False]


@given(fronts, fronts)
def test_a_union_s_front_is_the_front_of_all_points(a: list[Point], b: list[Point]) -> None:
    rows = union({4: a, 8: b})
    assert len(rows) == len(a) + len(b)
    on_front = {row.point for row in rows if row.is_on_front}
    assert sorted(on_front) == non_dominated([*a, *b])
    assert all(not row.shorter for row in rows if row.is_on_front or row.calls == 4)


def changed(field: str, value: float) -> Point:
    cost, fid, error = (value if name == field else 1.0 for name in NUMBERS)
    return point(cost, fid, error)


@pytest.mark.parametrize("field", NUMBERS)
def test_what_is_not_a_finite_number_is_no_point(field: str) -> None:
    bad = [math.nan, math.inf] + ([-0.1] if field == "standard_error" else [])
    for value in bad:
        with pytest.raises(InvalidInput, match="finite numbers") as caught:
            changed(field, value)
        assert caught.value.field == field
