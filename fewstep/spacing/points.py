"""From the values of a curve to points of a process: exact times, or indices of a table."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from fewstep.errors import InvalidInput
from fewstep.process import Process, VPDiscrete
from fewstep.spacing.curves import Curve, Shares


def curve_points(curve: Curve, process: Process, steps: int, *, to_clean: bool) -> list[float]:
    """Times of the `steps` points to evaluate, from noise to data, the clean level left out.

    They spread from the noisiest to the least noisy time; with `to_clean` they are the first
    `steps` of one more, whose last the clean level replaces.
    """
    u = np.linspace(0.0, 1.0, steps + to_clean)[:steps]
    if curve.coordinate == "t":
        values = curve.formula(process.t_max, process.t_min, u)
    else:
        top, bottom = process.at(process.t_max).rho, process.at(process.t_min).rho
        values = curve.formula(top, bottom, u)
    if isinstance(process, VPDiscrete):
        indices = _indices(curve, process, values)
        return [process.time_of(index) for index in indices]
    return _times(curve, process, values, to_clean=to_clean)


def check_steps(process: Process, steps: int) -> None:
    """Refuse counts of steps that no grid of the process has.

    Raises:
        InvalidInput: fewer than 1, or more than the process has training times.
    """
    if isinstance(process, VPDiscrete):
        most = process.num_train_timesteps
        if not 1 <= steps <= most:
            raise InvalidInput(f"steps={steps}: allowed: 1 to {most}", field="steps")
    elif steps < 1:
        raise InvalidInput(f"steps={steps}: allowed: 1 and more", field="steps")


def closed(points: list[float], process: Process, *, label: str) -> tuple[float, ...]:
    """The points and the clean level after them.

    Raises:
        InvalidInput: two points are one; names the grid by `label`.
    """
    if any(b >= a for a, b in pairwise(points)):
        shown = _shown(points, process)
        raise InvalidInput(
            f"{label}: points of {len(points)} steps fall together: {shown}", field="spacing"
        )
    return (*points, 0.0)


def _indices(curve: Curve, process: VPDiscrete, values: Shares) -> list[int]:
    if curve.coordinate == "rho":
        return [_nearest_index(process, rho) for rho in values.tolist()]
    last = process.num_train_timesteps - 1
    return [min(max(round(t * (last + 1)) - 1, 0), last) for t in values.tolist()]


def _nearest_index(process: VPDiscrete, rho: float) -> int:
    """The node nearest in ln rho, as ComfyUI rounds."""
    position = process.at_rho(rho).t * process.num_train_timesteps - 1.0
    low = min(max(math.floor(position), 0), process.num_train_timesteps - 1)
    high = min(low + 1, process.num_train_timesteps - 1)
    distances = [abs(process.at(process.time_of(k)).lam + math.log(rho)) for k in (low, high)]
    return low if distances[0] <= distances[1] else high


def _times(curve: Curve, process: Process, values: Shares, *, to_clean: bool) -> list[float]:
    """Real-valued times, the ends pinned: formulas reach them up to rounding only."""
    times: list[float] = values.tolist()
    if curve.coordinate == "rho":
        times = [process.at_rho(rho).t for rho in times]
    times[0] = process.t_max
    if not to_clean and len(times) > 1:
        times[-1] = process.t_min
    return times


def _shown(points: list[float], process: Process) -> list[float] | list[int]:
    if isinstance(process, VPDiscrete):
        return [process.index_of(t) for t in points]
    return points
