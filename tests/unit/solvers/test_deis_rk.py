"""DEIS, Runge-Kutta: the order conditions, the calls, and the methods it shares with others."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from fewstep.process import Process, VPDiscrete
from fewstep.process.vp_linear import VPLinear
from fewstep.program import trace
from fewstep.running import sample
from fewstep.solvers import SOLVERS, canonical_name
from fewstep.solvers.deis_rk import TABLEAUS
from tests.mixture2d import MIXTURE, at_level, start_states

PROCESSES: tuple[Process, ...] = (VPLinear(), VPDiscrete.linear())


def log_times(process: Process, steps: int) -> list[float]:
    """Equal steps of log rho, 100 to 0.02."""
    return [process.at_rho(float(rho)).t for rho in np.geomspace(100.0, 0.02, steps + 1)]


def matrices(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A, b, c of a tableau."""
    rows, weights = TABLEAUS[name].rows, np.array(TABLEAUS[name].weights)
    a = np.array([[*row, *[0.0] * (len(rows) - len(row))] for row in rows])
    return a, weights, a.sum(axis=1)


@pytest.mark.parametrize("name", TABLEAUS)
def test_tableaus_meet_the_order_conditions_and_not_one_more(name: str) -> None:
    """Butcher's conditions, grouped by order; the highest fulfilled group is the order."""
    a, b, c = matrices(name)
    conditions = {
        1: [(b.sum(), 1.0)],
        2: [(b @ c, 1 / 2)],
        3: [(b @ c**2, 1 / 3), (b @ a @ c, 1 / 6)],
        4: [
            (b @ c**3, 1 / 4),
            ((b * c) @ a @ c, 1 / 8),
            (b @ a @ c**2, 1 / 12),
            (b @ a @ a @ c, 1 / 24),
        ],
        5: [(b @ c**4, 1 / 5)],
    }
    order = TABLEAUS[name].order
    gaps = {p: max(abs(x - y) for x, y in group) for p, group in conditions.items()}
    assert all(gaps[p] < 1e-15 for p in range(1, order + 1)), gaps
    assert gaps[order + 1] > 1e-3, gaps


@pytest.mark.parametrize("name", TABLEAUS)
def test_a_step_costs_its_stages(name: str) -> None:
    solver, stages = SOLVERS.get(f"deis-rhork-{name}"), len(TABLEAUS[name].rows)
    process = PROCESSES[1]
    times = log_times(process, 5)
    noisy = trace(times, process=process, solver=solver.name)
    clean = trace([*times[:-1], 0.0], process=process, solver=solver.name)
    assert (noisy.nfe, clean.nfe) == (5 * stages, 4 * stages + 1)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: p.family)
@pytest.mark.parametrize("name", TABLEAUS)
def test_samples_are_those_of_the_tableau_on_predicted_noise(name: str, process: Process) -> None:
    """The textbook form in v = x / alpha, with its slopes as they are."""
    a, b, c = matrices(name)
    levels = [process.at(t) for t in log_times(process, 6)]
    v = start_states() / levels[0].alpha
    for s, t in pairwise(levels):
        h, slopes = t.rho - s.rho, list[Tensor]()
        for m, place in enumerate(c):
            at = {0.0: s, 1.0: t}.get(place) or process.at_rho(s.rho + place * h)
            state = v + h * sum((a[m, k] * slopes[k] for k in range(m)), torch.zeros_like(v))
            denoised = MIXTURE(at.alpha * state, at_level(at, len(v)))
            slopes.append((state - denoised) / at.rho)
        v = v + h * sum((weight * slope for weight, slope in zip(b, slopes, strict=True)))
    found = sample(
        MIXTURE,
        start_states(),
        times=[level.t for level in levels],
        process=process,
        solver=f"deis-rhork-{name}",
    )
    torch.testing.assert_close(found, levels[-1].alpha * v, rtol=1e-9, atol=1e-10)


def test_inner_levels_are_where_the_tableau_says_and_ends_are_the_grids_own() -> None:
    process = PROCESSES[1]
    times = log_times(process, 2)
    s, t = process.at(times[0]), process.at(times[1])
    program = trace(times, process=process, solver="deis-rhork-rk4")
    first, *inner, last = program.nodes[:4]
    assert (first.level, last.level) == (s, t)
    for node in inner:
        assert node.level.rho == pytest.approx(0.5 * (s.rho + t.rho), rel=1e-12)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: p.family)
def test_the_geometric_midpoint_is_dpm_solver_2(process: Process) -> None:
    """Why `deis-rhork-geomid` is an alias: v + h eps at sqrt(rho rho'), Euler before it."""
    assert canonical_name("deis-rhork-geomid") == "dpm-solver-2"
    levels = [process.at(t) for t in log_times(process, 8)]
    v = start_states() / levels[0].alpha
    for s, t in pairwise(levels):
        middle = process.at_rho(math.sqrt(s.rho * t.rho))
        slope = (v - MIXTURE(s.alpha * v, at_level(s, len(v)))) / s.rho
        inner = v + (middle.rho - s.rho) * slope
        slope = (inner - MIXTURE(middle.alpha * inner, at_level(middle, len(v)))) / middle.rho
        v = v + (t.rho - s.rho) * slope
    found = sample(
        MIXTURE,
        start_states(),
        times=[level.t for level in levels],
        process=process,
        solver="deis-rhork-geomid",
    )
    torch.testing.assert_close(found, levels[-1].alpha * v, rtol=1e-12, atol=1e-12)


def test_heuns_second_order_method_is_heun() -> None:
    assert canonical_name("deis-rhork-heun") == "heun"
