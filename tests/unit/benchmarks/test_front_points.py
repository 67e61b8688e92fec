"""What dominance, hypervolume and being above mean, on any points."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.front_points import Point, above, dominated_by, hypervolume
from fewstep.errors import InvalidInput

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
    assert hypervolume(shuffled, (2.0, 2.0)) == hypervolume(given_points, (2.0, 2.0))
    other = [point(1.0, 1.0, 0.2), point(2.0, 0.5)]
    assert above(shuffled, other) == above(given_points, other)
    assert above(other, shuffled) == above(other, given_points)


@given(fronts.filter(bool), points, references)
def test_a_dominated_point_changes_nothing(
    found: list[Point], worse: Point, reference: tuple[float, float]
) -> None:
    best = min(found)
    added = point(best.cost + worse.cost, best.fid + worse.fid + 0.25, worse.standard_error)
    assert dominated_by(added, found)
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


def test_a_hypervolume_by_hand() -> None:
    found = [point(1, 3), point(2, 1), point(2.5, 2)]  # the last is dominated
    assert hypervolume(found, (4, 4)) == 3 * 1 + 2 * 2
    assert hypervolume([], (4, 4)) == 0.0


def test_equals_do_not_dominate_one_another() -> None:
    a, b = point(1, 1, name="a"), point(1, 1, 0.3, name="b")
    assert dominated_by(a, [a, b]) == []
    assert dominated_by(point(1, 2), [b, point(2, 1), a]) == [a, b]


@given(fronts.filter(bool), st.floats(0, 4))
def test_no_front_lies_above_itself_or_a_part_of_itself(found: list[Point], sigmas: float) -> None:
    for part in (found, found[1:], found[:1]):
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
