"""Points of cost and distance: who dominates whom, and by how much one front is worse.

Both are to be small.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from pymoo.indicators.hv import HV

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


def dominated_by(point: Point, others: Iterable[Point]) -> list[Point]:
    """Those of `others` that are as good as `point` in cost and distance and better in one.

    In order of cost; standard errors do not count.
    """
    return sorted(
        other
        for other in others
        if other.cost <= point.cost
        and other.fid <= point.fid
        and (other.cost, other.fid) != (point.cost, point.fid)
    )


def hypervolume(points: Iterable[Point], reference: tuple[float, float]) -> float:
    """Area of all (cost, distance) that a point dominates, up to a reference.

    That is the union of the rectangles from each point to the reference; points that are not below
    it in both have none.
    """
    values = np.array([(point.cost, point.fid) for point in points]).reshape(-1, 2)
    return float(HV(ref_point=np.array(reference))(values)) if len(values) else 0.0


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
