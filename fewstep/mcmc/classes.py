"""Grids of noise levels that a chain moves on: the classes of a noise-level posterior.

Classes run from most to least noise, as everything in the project does.
"""

from __future__ import annotations

from fewstep.errors import InvalidInput
from fewstep.process.base import Process

# The published grid ends a thousandth of the way above the least noise level.
_LAST_SHARE = 1e-3


def class_grid(sigma_min: float, sigma_max: float, count: int) -> tuple[float, ...]:
    """Noise levels spread evenly in their logarithm, from `sigma_max` to just above `sigma_min`.

    A prior that is uniform over the classes is so log-uniform in the level.
    Ref: Kim, Ye 2023; the published code's grid, sigma_min * (sigma_max / sigma_min)^t for `count`
    values of t from 1 to 0.001.

    Raises:
        InvalidInput: the levels are not positive and increasing, or fewer than two classes.
    """
    if not 0.0 < sigma_min < sigma_max:
        raise InvalidInput(
            f"sigma_min={sigma_min!r}: allowed: above 0 and below sigma_max={sigma_max!r}",
            field="sigma_min",
        )
    ratio = sigma_max / sigma_min
    return tuple(sigma_min * ratio**t for t in _shares(count))


def time_class_grid(process: Process, count: int) -> tuple[float, ...]:
    """Noise-to-signal ratios of times spread evenly from 1 to 0.001 of the process's last time.

    The classes for variance-preserving processes, with a prior that is uniform in time.

    Raises:
        InvalidInput: fewer than two classes.
    """
    return tuple(process.at(process.t_max * share).rho for share in _shares(count))


def _shares(count: int) -> list[float]:
    if count < 2:
        raise InvalidInput(f"count={count}: classes; allowed: 2 and more", field="count")
    return [1.0 + (_LAST_SHARE - 1.0) * j / (count - 1) for j in range(count)]
