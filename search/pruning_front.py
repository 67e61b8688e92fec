"""Fronts of FID and cost: who is on one, who would add most to one, and a few that stand for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

Point: TypeAlias = "tuple[float, float]"
"""FID, or its logarithm, and share of the cost."""

GRID = 512
"""Shares of the cost at which fronts are compared."""

MARGIN = math.log(1.5)
"""Points count for a front down to this much, in log FID, above its worst."""

DIGITS = 9
"""Areas are rounded, so that an order does not hang on the last bits of a sum."""


def non_dominated(points: Sequence[Point]) -> list[int]:
    """Places of the points that no other equals or beats in both values, by the first value.

    Of equal points the first is kept.
    """
    kept: list[int] = []
    for i in sorted(range(len(points)), key=lambda i: (points[i], i)):
        if not kept or points[i][1] < points[kept[-1]][1]:
            kept.append(i)
    return kept


def spread_over_cost(front: Sequence[Point], count: int) -> list[int]:
    """Places of at most `count` points of a front: its ends, then where the gaps are widest.

    Args:
        front: As `non_dominated` orders it; the first is always kept.
        count: 1 or more.
    """
    picked = list(dict.fromkeys([0, len(front) - 1]))[:count] if front else []
    while len(picked) < min(count, len(front)):
        rest = [i for i in range(len(front)) if i not in picked]
        picked.append(max(rest, key=lambda i: (_gap(front, i, picked), -i)))
    return sorted(picked)


def best_of_tiers(points: Sequence[Point], count: int, *, least: float) -> list[int]:
    """Places of the best point in each of `count` equal intervals of cost, by the first value.

    Whether others dominate it or not: by how little, one noisy value cannot say.

    Args:
        points: Shares from `least` to 1.
        count: 1 or more; intervals without a point have none.
        least: The share at which the first interval begins.
    """
    best: dict[int, int] = {}
    for i in sorted(range(len(points)), key=lambda i: (points[i], i)):
        part = (points[i][1] - least) / (1.0 - least) if least < 1.0 else 0.0
        best.setdefault(min(int(part * count), count - 1), i)
    return list(best.values())


def pick_for_front(children: Sequence[Point], front: Sequence[Point], count: int) -> list[int]:
    """Places of the children that add most to a front, one after the other as if they held it.

    What is added is the area between the old front and the new one. Those that add nothing follow,
    the nearest to the front first.

    Args:
        children: Predicted log FID, and share.
        front: The same of what is known, at least one; points that others beat do no harm.
        count: How many at most.
    """
    shares = [share for _, share in chain(children, front)]
    grid = np.linspace(min(shares), max(shares), GRID)
    worst = max(front[i][0] for i in non_dominated(front)) + MARGIN
    attained = np.full(GRID, worst)
    for point in front:
        attained = _attained(attained, grid, point)
    picked: list[int] = []
    while len(picked) < min(count, len(children)):
        rest = [i for i in range(len(children)) if i not in picked]
        best = min(rest, key=lambda i: (*_merit(attained, grid, children[i]), i))
        picked.append(best)
        attained = _attained(attained, grid, children[best])
    return picked


def _gap(front: Sequence[Point], i: int, picked: Sequence[int]) -> float:
    return min(abs(front[i][1] - front[j][1]) for j in picked)


def _attained(attained: Array, grid: Array, point: Point) -> Array:
    """The least log FID at each cost, with one more point."""
    value, share = point
    return np.where(grid >= share, np.minimum(attained, value), attained)


def _merit(attained: Array, grid: Array, point: Point) -> Point:
    """Less is better: minus the area that is added, then how far above the front it is."""
    value, share = point
    above = attained[grid >= share] - value
    return -round(float(np.maximum(above, 0.0).sum()), DIGITS), -float(above.max())
