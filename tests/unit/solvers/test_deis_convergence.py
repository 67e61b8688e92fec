"""Orders of convergence of the DEIS family, against the exact flow of the mixture.

VP linear 0.1/20 from T = 1 to 1e-3; RMS error of 16 states. Slopes are log2 of the ratio of errors
when steps double.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from fewstep.process import VPDiscrete
from fewstep.process.vp_linear import VPLinear
from fewstep.program import trace
from fewstep.running import run, run_eagerly
from tests.mixture2d import MIXTURE, reference, rms, start_states

PROCESS = VPLinear()
END = 1e-3


def quadratic(steps: int) -> list[float]:
    """Equal steps of sqrt(t)."""
    return [*(np.linspace(1.0, math.sqrt(END), steps + 1)[:-1] ** 2).tolist(), END]


def uniform(steps: int) -> list[float]:
    """Equal steps of t."""
    return [float(t) for t in np.linspace(1.0, END, steps + 1)]


def log_ratio(steps: int) -> list[float]:
    """Equal steps of log rho."""
    ends = (PROCESS.at(1.0).rho, PROCESS.at(END).rho)
    inner = [PROCESS.at_rho(float(rho)).t for rho in np.geomspace(*ends, steps + 1)[1:-1]]
    return [1.0, *inner, END]


def error(solver: str, times: list[float]) -> float:
    """RMS distance from the exact flow; eagerly, as programs grow with the square of steps."""
    found = run_eagerly(MIXTURE, start_states(), times=times, process=PROCESS, solver=solver)
    return rms(found - reference(PROCESS, 1.0, END))


def slope(solver: str, steps: int, grid: str = "quadratic") -> float:
    """Order between `steps` and twice as many."""
    make = {"quadratic": quadratic, "uniform": uniform, "log_ratio": log_ratio}[grid]
    return math.log2(error(solver, make(steps)) / error(solver, make(2 * steps)))


@pytest.mark.parametrize(
    ("solver", "order"),
    [
        ("ddim", 1.0),
        ("deis-tab1", 2.0),
        ("deis-rhoab1", 2.0),
        ("deis-logrhoab1", 2.0),
        ("heun", 2.0),
        ("deis-rhork-midpoint", 2.0),
        ("deis-rhork-geomid", 2.0),
        ("deis-rhork-kutta3", 3.0),
        ("deis-rhork-heun3", 3.0),
        ("deis-rhork-ralston3", 3.0),
        ("deis-rhork-vdh3", 3.0),
        ("deis-rhork-ssprk3", 3.0),
        ("deis-rhork-rk4", 4.0),
    ],
)
def test_runge_kutta_and_degree_1_converge_with_their_order(solver: str, order: float) -> None:
    assert slope(solver, 160) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize(
    ("solver", "least"),
    [
        ("deis-tab2", 2.8),
        ("deis-rhoab2", 2.8),
        ("deis-logrhoab2", 2.8),
        ("deis-tab3", 3.1),  # the Euler start limits degree 2 and more to order 2 in the end
        ("deis-rhoab3", 3.6),
    ],
)
def test_higher_degrees_converge_faster(solver: str, least: float) -> None:
    assert slope(solver, 80) >= least


@pytest.mark.parametrize("solver", ["ipndm2", "ipndm3", "ipndm4", "plms2", "plms3", "plms4"])
def test_constant_weights_converge_with_order_2_whatever_theirs(solver: str) -> None:
    assert 1.9 <= slope(solver, 160) <= 2.05


def test_plms_of_order_1_converges_with_order_1() -> None:
    assert slope("plms1", 160) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("solver", ["deis-tab2", "deis-rhoab2", "deis-logrhoab2"])
def test_degree_2_keeps_its_order_on_equal_steps_of_log_rho(solver: str) -> None:
    assert 2.8 <= slope(solver, 160, "log_ratio") <= 3.2


def test_polynomials_in_time_are_slow_on_equal_steps_of_it_and_those_in_rho_are_not() -> None:
    """The last step jumps over where t is near its end: not asymptotic before 1000 steps."""
    found = {name: slope(name, 160, "uniform") for name in ("deis-tab3", "deis-rhoab2")}
    assert found["deis-tab3"] < 2.3, found
    assert found["deis-rhoab2"] > 2.7, found


def test_samples_of_a_table_and_of_the_formula_it_samples_are_close() -> None:
    """The kinks of an interpolated table do not hurt: both converge to nearly one flow."""
    table = VPDiscrete.linear()

    times = [table.at_rho(float(rho)).t for rho in np.geomspace(100.0, 0.02, 41)]
    formula = [PROCESS.at_rho(table.at(t).rho).t for t in times]
    x = start_states()
    ours = run(trace(times, process=table, solver="deis-tab3"), MIXTURE, x)
    theirs = run(trace(formula, process=PROCESS, solver="deis-tab3"), MIXTURE, x)
    assert rms(ours - theirs) < 1e-4
