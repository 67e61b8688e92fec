"""Convergence orders of solvers, fitted on the mixture, over smooth and irregular grids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fewstep.process import Process, VPDiscrete
from fewstep.running import run_eagerly
from tests.mixture2d import MIXTURE, reference, rms, start_states

PROCESS = VPDiscrete.linear()


def nsr_grid(process: Process, steps: int, bottom: float, offset: float = 3.1) -> list[float]:
    """Times uniform in log(rho + k rho_end), from the noisiest to the one of ratio `bottom`."""
    top = process.at(process.t_max).rho
    share = np.linspace(0.0, 1.0, steps + 1)
    ratios = (top + offset * bottom) ** (1 - share) * (bottom + offset * bottom) ** share
    inner = [process.at_rho(float(ratio - offset * bottom)).t for ratio in ratios[1:-1]]
    return [process.t_max, *inner, process.at_rho(bottom).t]


def uniform_grid(process: Process, steps: int, bottom: float) -> list[float]:
    """Times uniform in t, from the noisiest to the one of ratio `bottom`."""
    return [float(t) for t in np.linspace(process.t_max, process.at_rho(bottom).t, steps + 1)]


def irregular_grid(process: Process, steps: int, bottom: float) -> list[float]:
    """`nsr_grid` thinned so that steps alternate as 1:2; `steps` is even."""
    fine = nsr_grid(process, 3 * steps // 2, bottom)
    return [t for i, t in enumerate(fine) if i % 3 != 2]


GRIDS = {"nsr": nsr_grid, "uniform-t": uniform_grid, "irregular": irregular_grid}


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted order and what it was fitted to."""

    order: float
    counts: Sequence[int]
    errors: Sequence[float]


def fitted_order(
    solver: str,
    grid: str,
    *,
    counts: Sequence[int],
    bottom: float,
    options: Mapping[str, object] | None = None,
) -> Fit:
    """Slope of log error against log steps, from unit noise to the ratio `bottom`."""
    errors = []
    for count in counts:
        times = GRIDS[grid](PROCESS, count, bottom)
        truth = reference(PROCESS, times[0], times[-1])
        found = run_eagerly(
            MIXTURE, start_states(), times=times, process=PROCESS, solver=solver, options=options
        )
        errors.append(rms(found - truth))
    slope = float(np.polyfit(np.log(counts), np.log(errors), 1)[0])
    return Fit(-slope, counts, errors)
