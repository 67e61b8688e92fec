"""DPM-Solver and DPM-Solver++: orders, options, and what they have in common with other methods."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad

from fewstep.errors import InvalidInput
from fewstep.level import Level
from fewstep.process import VPDiscrete
from fewstep.program import trace
from fewstep.running import sample
from fewstep.solvers import SOLVERS, Kind
from fewstep.solvers.exponential import exponential_weights, phi
from fewstep.solvers.options import resolve_options
from tests.mixture2d import MIXTURE, reference, rms, start_states
from tests.program_comparison import assert_close_programs
from tests.solver_order import fitted_order

PROCESS = VPDiscrete.linear()
BOTTOM, COUNTS = 0.05, [80, 160, 320]
NOISY = [0.95, 0.8, 0.62, 0.4, 0.23, 0.1]
CLEAN = [*NOISY, 0.0]


@pytest.mark.parametrize(
    ("solver", "grid", "options"),
    [
        ("dpm-solver-2", "nsr", {}),
        ("dpm-solver-2", "nsr", {"r1": 0.3}),
        ("dpm-solver-3", "nsr", {}),
        ("dpm-solver++-2s", "nsr", {}),
        ("dpm-solver++-2s", "nsr", {"solver_type": "heun"}),
        ("dpm-solver++-2m", "nsr", {}),
        ("dpm-solver++-2m", "irregular", {}),
        ("dpm-solver++-2m", "irregular", {"solver_type": "heun"}),
        ("dpm-solver++-3m", "nsr", {}),
        ("dpm-solver++-3m", "irregular", {}),
    ],
)
def test_the_fitted_order_is_the_one_claimed(
    solver: str, grid: str, options: dict[str, object]
) -> None:
    fit = fitted_order(solver, grid, counts=COUNTS, bottom=BOTTOM, options=options)
    assert fit.order == pytest.approx(SOLVERS.get(solver).order, abs=0.2), fit


@pytest.mark.parametrize("grid", ["nsr", "irregular"])
def test_the_exact_curvature_makes_3m_third_order(grid: str) -> None:
    """The first step, of order 1, limits it on finer grids; at high noise it counts little."""
    options = {"curvature": "exact"}
    fit = fitted_order("dpm-solver++-3m", grid, counts=COUNTS, bottom=BOTTOM, options=options)
    assert fit.order == pytest.approx(3.0, abs=0.2), fit


def test_dpm_solver_3_loses_an_order_away_from_two_thirds() -> None:
    options = {"r2": 0.9}
    fit = fitted_order("dpm-solver-3", "nsr", counts=COUNTS, bottom=BOTTOM, options=options)
    assert fit.order == pytest.approx(2.0, abs=0.2), fit


class _Tanh:
    """A model of numbers, for solvers run on plain floats."""

    def __call__(self, x: float, at: Level, kind: Kind = "denoised") -> float:
        return math.tanh(x * at.alpha + at.sigma)

    def noise(self) -> float:
        raise AssertionError("these solvers draw no noise")


def _two_m_as_first_released(x: float, levels: list[Level]) -> float:
    evaluate, previous, h_previous = _Tanh(), math.nan, math.nan
    for i, (s, t) in enumerate(pairwise(levels)):
        h = t.lam - s.lam
        denoised = evaluate(x, s)
        target = denoised
        if i > 0:
            extrapolation = h / (2.0 * h_previous)
            target = (1.0 + extrapolation) * denoised - extrapolation * previous
        x = (t.sigma / s.sigma) * x - (t.alpha * math.expm1(-h)) * target
        previous, h_previous = denoised, h
    return x


@pytest.mark.parametrize("seed", range(20))
def test_2m_with_default_options_keeps_every_bit_of_its_first_release(seed: int) -> None:
    rng = np.random.default_rng(seed)
    times = sorted(rng.uniform(0.001, 1.0, 8).tolist(), reverse=True)
    levels, x = [PROCESS.at(t) for t in times], float(rng.standard_normal())
    entry = SOLVERS.get("dpm-solver++-2m")
    options = resolve_options(entry.options, {}, steps=7)
    found = entry.function(_Tanh(), x, levels, PROCESS, options=options)
    assert found == _two_m_as_first_released(x, levels)


@pytest.mark.parametrize("solver", ["dpm-solver++-2m", "dpm-solver++-3m"])
@pytest.mark.parametrize("times", [NOISY, CLEAN])
def test_order_one_at_every_step_is_ddim(solver: str, times: list[float]) -> None:
    found = trace(times, process=PROCESS, solver=solver, options={"order": 1})
    assert_close_programs(found, trace(times, process=PROCESS, solver="ddim"))


@pytest.mark.parametrize(
    ("times", "orders"), [(NOISY, [3, 3, 3, 2, 1]), (CLEAN, [3, 3, 3, 3, 2, 1])]
)
def test_lower_order_final_counts_the_step_to_the_clean_level(
    times: list[float], orders: list[int]
) -> None:
    found = trace(
        times, process=PROCESS, solver="dpm-solver++-3m", options={"lower_order_final": True}
    )
    expected = trace(times, process=PROCESS, solver="dpm-solver++-3m", options={"order": orders})
    plain = trace(times, process=PROCESS, solver="dpm-solver++-3m")
    assert found == expected != plain


def test_lower_order_final_changes_nothing_of_2m_on_a_grid_that_ends_clean() -> None:
    plain = trace(CLEAN, process=PROCESS, solver="dpm-solver++-2m")
    assert plain == trace(
        CLEAN, process=PROCESS, solver="dpm-solver++-2m", options={"lower_order_final": True}
    )


def test_dpm_solver_2_with_its_second_evaluation_at_the_end_is_heun() -> None:
    """Half of the slopes at both ends, with Euler's step in rho, which DDIM is."""
    found = trace(CLEAN, process=PROCESS, solver="dpm-solver-2", options={"r1": 1.0})
    assert_close_programs(found, trace(CLEAN, process=PROCESS, solver="heun"))


def test_stages_are_in_the_middle_of_the_step_in_lambda() -> None:
    program = trace(NOISY, process=PROCESS, solver="dpm-solver-3", options={"r1": 0.25})
    lams = [node.level.lam for node in program.nodes[:3]]
    h = PROCESS.at(NOISY[1]).lam - lams[0]
    assert [(lam - lams[0]) / h for lam in lams] == pytest.approx([0.0, 0.25, 2 / 3], abs=1e-9)


class _Snapping(VPDiscrete):
    """A process that has levels at its nodes only."""

    def at_rho(self, rho: float) -> Level:
        exact = super().at_rho(rho).t * self.num_train_timesteps
        return self.at(max(1, round(exact)) / self.num_train_timesteps)


@pytest.mark.parametrize("solver", ["dpm-solver-2", "dpm-solver-3", "dpm-solver++-2s"])
def test_a_step_without_a_level_inside_is_refused(solver: str) -> None:
    times = [0.9, 0.5, 0.499, 0.1]
    with pytest.raises(InvalidInput, match=r"no level between t=0\.5 and t=0\.499"):
        trace(times, process=_Snapping.linear(), solver=solver)


@pytest.mark.parametrize("solver", ["dpm-solver-2", "dpm-solver++-2s"])
def test_coefficients_belong_to_the_levels_that_are_evaluated(solver: str) -> None:
    """Snapping moves a middle by up to a fifth of its step, which nominal ratios would not see."""
    process = _Snapping.linear(50, 2e-3, 0.4)
    times = [k / 50 for k in range(48, 2, -3)]
    truth = reference(VPDiscrete.linear(50, 2e-3, 0.4), times[0], times[-1])
    found = sample(MIXTURE, start_states(), times=times, process=process, solver=solver)
    ddim = sample(MIXTURE, start_states(), times=times, process=process, solver="ddim")
    assert rms(found - truth) < 0.2 * rms(ddim - truth)


def test_the_third_evaluation_may_not_come_before_the_second() -> None:
    with pytest.raises(InvalidInput, match=r"options\.r1=0\.7: allowed: numbers below r2=0\.5"):
        trace(NOISY, process=PROCESS, solver="dpm-solver-3", options={"r1": 0.7, "r2": 0.5})


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("z", [-9.0, -1.0001, -0.9999, -1e-7, 0.0, 0.3, 0.9999, 1.0001, 6.0])
def test_phi_is_its_integral(order: int, z: float) -> None:
    def integrand(tau: float) -> float:
        return math.exp((1 - tau) * z) * tau ** (order - 1) / math.factorial(order - 1)

    assert phi(order, z) == pytest.approx(quad(integrand, 0, 1, epsabs=0)[0], rel=2e-13)


@pytest.mark.parametrize("h", [1e-3, 0.5, 4.0])
def test_exponential_weights_integrate_polynomials_exactly(h: float) -> None:
    nodes = (0.0, -0.7, -1.9, 1.0)
    weights = exponential_weights(nodes, -h)
    for power in range(4):
        exact = quad(lambda tau, p=power: math.exp(-h * (1 - tau)) * tau**p, 0, 1)[0]
        found = sum(w * node**power for w, node in zip(weights, nodes, strict=True))
        assert found == pytest.approx(exact, rel=1e-12, abs=1e-14)
