"""Solvers reach the exact flow of a mixture, at the order they claim."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from fewstep.denoisers import StackedLevel
from fewstep.process import VPDiscrete
from fewstep.running import sample
from fewstep.solvers import SOLVERS, canonical_name
from tests.mixture import MixtureDenoiser, exact_flow

PROCESS = VPDiscrete.linear()
TOP, BOTTOM = 20.0, 0.05


def _times(steps: int) -> list[float]:
    ratios = np.geomspace(TOP, BOTTOM, steps + 1)
    return [PROCESS.at_rho(float(ratio)).t for ratio in ratios]


def _error(solver: str, steps: int) -> float:
    times = _times(steps)
    start = torch.linspace(-2.0, 2.0, 41, dtype=torch.float64)[:, None]
    truth = exact_flow(start, PROCESS.at(times[0]), PROCESS.at(times[-1]))
    found = sample(MixtureDenoiser(), start, times=times, process=PROCESS, solver=solver)
    return float((found - truth).abs().max())


@pytest.mark.parametrize("solver", ["ddim", "dpm-solver++-2m", "heun"])
def test_the_fitted_order_is_the_one_claimed(solver: str) -> None:
    counts = [80, 160, 320]
    errors = [_error(solver, steps) for steps in counts]
    slope = np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert -slope == pytest.approx(SOLVERS.get(solver).order, abs=0.2), (
        f"errors {errors} at {counts} steps"
    )


def test_second_order_is_far_more_accurate_at_equal_calls() -> None:
    assert _error("dpm-solver++-2m", 40) < 0.1 * _error("ddim", 40)


def test_aliases_resolve_to_one_name() -> None:
    assert {canonical_name(name) for name in ("ddim", "euler", "dpm-solver-1")} == {"ddim"}


def test_ddim_is_euler_in_rho() -> None:
    """Independent of the solver: v = x / alpha, dv / drho = eps."""
    times = _times(10)
    x = torch.linspace(-1.0, 1.0, 5, dtype=torch.float64)[:, None]
    levels = [PROCESS.at(t) for t in times]
    v = x / levels[0].alpha
    denoiser = MixtureDenoiser()
    for s, t in pairwise(levels):
        at = StackedLevel.of(s, 0.0, 5, torch.device("cpu"))
        eps = (s.alpha * v - s.alpha * denoiser(s.alpha * v, at)) / s.sigma
        v = v + (t.rho - s.rho) * eps
    found = sample(denoiser, x, times=times, process=PROCESS, solver="euler")
    torch.testing.assert_close(found, levels[-1].alpha * v, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("solver", "steps", "nfe"), [("ddim", 4, 4), ("heun", 4, 7), ("heun", 1, 1)]
)
def test_calls_and_steps_convert_both_ways(solver: str, steps: int, nfe: int) -> None:
    entry = SOLVERS.get(solver)
    assert entry.nfe_of_steps(steps) == nfe
    assert entry.steps_of_nfe(nfe) == steps


def test_log_spacing_reaches_both_ends() -> None:
    times = _times(7)
    assert math.isclose(PROCESS.at(times[0]).rho, TOP, rel_tol=1e-9)
    assert math.isclose(PROCESS.at(times[-1]).rho, BOTTOM, rel_tol=1e-9)
