"""Repair: the member of a space nearest to any list of integers."""

from __future__ import annotations

from collections.abc import Sequence

from space.timesteps import Points, TimestepSpace


def repair(values: Sequence[int], space: TimestepSpace) -> Points:
    """Sort, move apart what is too close, and keep within range, with the least total movement.

    Distances are least absolute deviations in the index: a duplicate goes to the nearest free
    value. Members of the space come back unchanged, so repairing twice is repairing once.

    Args:
        values: K integers in any order, repeated or out of range.

    Raises:
        ValueError: not K values (a bug of the operator that made them).
    """
    if len(values) != space.steps:
        raise ValueError(f"repair takes {space.steps} values, got {len(values)}")
    return moved_apart(values, size=space.size, gap=space.min_gap)


def moved_apart(values: Sequence[int], *, size: int, gap: int) -> Points:
    """The nearest strictly decreasing indices below `size`, at least `gap` apart."""
    highest = size - 1 - (len(values) - 1) * gap
    # k[i] - i*gap must not decrease: the gap constraint as isotonic regression.
    slack = [k - i * gap for i, k in enumerate(sorted(int(k) for k in values))]
    fitted = (min(max(k, 0), highest) for k in _isotonic(slack))
    return tuple(reversed([k + i * gap for i, k in enumerate(fitted)]))


def _isotonic(values: Sequence[int]) -> list[int]:
    """Least-absolute-deviation nondecreasing fit by pooling adjacent violators (lower medians)."""
    pools: list[list[int]] = []
    for value in values:
        pools.append([value])
        while len(pools) > 1 and _median(pools[-2]) > _median(pools[-1]):
            last = pools.pop()
            pools[-1] = sorted([*pools[-1], *last])
    return [_median(pool) for pool in pools for _ in pool]


def _median(pool: Sequence[int]) -> int:
    """Lower median of a sorted pool; an element of it, so fits stay integers."""
    return pool[(len(pool) - 1) // 2]
