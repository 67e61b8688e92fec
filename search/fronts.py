"""Fronts of cost and distance: who dominates whom, and by how much one front is worse.

Both are to be small. Plain values and sums; nothing here knows where points come from.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fewstep.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Point:
    """A schedule as two numbers. Points are ordered by cost, then by distance.

    Attributes:
        cost: Of one image, in whatever unit all points share.
        fid: Frechet distance.
        standard_error: Of the distance.
        name: What tables call it.

    Raises:
        InvalidInput: a number is not finite, or an error is negative.
    """

    cost: float
    fid: float
    standard_error: float = 0.0
    name: str = ""

    def __post_init__(self) -> None:
        for field in ("cost", "fid", "standard_error"):
            value = getattr(self, field)
            if not math.isfinite(value) or (field == "standard_error" and value < 0.0):
                raise InvalidInput(
                    f"{field}={value!r} of point {self.name!r}; allowed: finite numbers, errors of "
                    "at least 0",
                    field=field,
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """A point of a union over call counts.

    Attributes:
        calls: Network calls of its schedule.
        point: The point.
        is_on_front: No point of the union dominates it, of any number of calls.
        shorter: Names of the points with fewer calls that dominate it, cheapest first: where there
            are any, cutting calls does more than cutting the network.
    """

    calls: int
    point: Point
    is_on_front: bool
    shorter: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A point of another front, and the best of ours that costs no more.

    Attributes:
        other: The other front's point.
        ours: Of our points at a cost of at most its, that of the lowest distance; None where all
            ours cost more.
        difference: Our distance minus its; infinite without a point of ours.
        error: Standard error of the difference, as if both errors were independent:
            sqrt(ours^2 + its^2). Common noise makes the true one smaller.
        is_above: `difference` is more than so many `error`s above zero.
    """

    other: Point
    ours: Point | None
    difference: float
    error: float
    is_above: bool


def dominates(a: Point, b: Point) -> bool:
    """Whether `a` is as good as `b` in cost and distance and better in one; errors do not count."""
    return a.cost <= b.cost and a.fid <= b.fid and (a.cost, a.fid) != (b.cost, b.fid)


def dominated_by(point: Point, others: Iterable[Point]) -> list[Point]:
    """Those of `others` that dominate `point`, in order of cost. Points do not dominate equals."""
    return sorted(other for other in others if dominates(other, point))


def non_dominated(points: Iterable[Point]) -> list[Point]:
    """The front: points that no other dominates, each once, in order of cost.

    Points of equal cost and distance all stay, unless they are equal in name and error too.
    """
    front: list[Point] = []
    for point in sorted(set(points)):
        last = front[-1] if front else None
        is_equal = last is not None and (last.cost, last.fid) == (point.cost, point.fid)
        if last is None or is_equal or point.fid < last.fid:
            front.append(point)
    return front


def hypervolume(points: Iterable[Point], reference: tuple[float, float]) -> float:
    """Area of all (cost, distance) that a point dominates, up to a reference.

    That is the union of the rectangles from each point to the reference; points that are not below
    it in both have none.
    """
    most_cost, most_fid = reference
    inside = [p for p in points if p.cost < most_cost and p.fid < most_fid]
    area, height = 0.0, most_fid
    for point in non_dominated(inside):
        area += (most_cost - point.cost) * (height - point.fid)
        height = point.fid
    return area


def above(front: Iterable[Point], other: Iterable[Point], *, sigmas: float = 2.0) -> list[Gap]:
    """Hold a front against another: a row for each point of the other one, in order of cost.

    "Ours never lies above theirs by more than two standard errors" says that no row `is_above`.
    A front is a staircase: what costs less may always be taken for more. Nothing of ours at the
    cost of a point counts as above.

    Args:
        front: ours.
        other: theirs; dominated points give rows too.
        sigmas: combined standard errors that a difference may have; at least 0.
    """
    ours = sorted(front, key=lambda p: (p.fid, p.standard_error, p))
    return [_gap(point, ours, sigmas) for point in sorted(other)]


def union(fronts: Mapping[int, Sequence[Point]]) -> list[Marked]:
    """The points of all call counts as one list in order of cost, each with its marks.

    Args:
        fronts: points by the network calls of their schedules; costs are those of a whole
            schedule, so that call counts can be compared.
    """
    every = [(calls, point) for calls, points in fronts.items() for point in points]
    on_front = set(non_dominated(point for _, point in every))
    return [
        Marked(
            calls=calls,
            point=point,
            is_on_front=point in on_front,
            shorter=tuple(
                other.name
                for other in dominated_by(point, (p for fewer, p in every if fewer < calls))
            ),
        )
        for calls, point in sorted(every, key=lambda pair: (pair[1], pair[0]))
    ]


def _gap(point: Point, ours: Sequence[Point], sigmas: float) -> Gap:
    """`ours` by distance, lowest first."""
    best = next((p for p in ours if p.cost <= point.cost), None)
    if best is None:
        return Gap(
            other=point,
            ours=None,
            difference=math.inf,
            error=point.standard_error,
            is_above=True,
        )
    difference = best.fid - point.fid
    error = math.hypot(best.standard_error, point.standard_error)
    return Gap(
        other=point,
        ours=best,
        difference=difference,
        error=error,
        is_above=difference > sigmas * error,
    )
