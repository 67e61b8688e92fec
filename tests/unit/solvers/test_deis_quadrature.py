"""DEIS coefficients against adaptive quadrature, and the published rule's distance from them."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad

from fewstep.errors import InvalidInput
from fewstep.level import Level
from fewstep.process import Process, VPDiscrete
from fewstep.process.vp_cosine import VPCosine
from fewstep.process.vp_linear import VPLinear
from fewstep.running import sample
from fewstep.solvers.adams_bashforth import lagrange_weights
from fewstep.solvers.quadrature import (
    Rule,
    basis_integrals,
    gauss_in_log_rho,
    gauss_in_time,
    riemann_in_rho,
    riemann_in_time,
)
from tests.mixture2d import MIXTURE, start_states

PROCESSES: tuple[Process, ...] = (
    VPLinear(),
    VPDiscrete.linear(),
    VPDiscrete.scaled_linear(),
    VPCosine(),
)


def basis_of_time(rho: float, process: Process, nodes: list[float], j: int) -> float:
    """L_j(t(rho)) in product form."""
    t = process.at_rho(rho).t
    return math.prod((t - node) / (nodes[j] - node) for k, node in enumerate(nodes) if k != j)


def exact_integral(process: Process, s: Level, t: Level, nodes: list[float], j: int) -> float:
    """Adaptive quadrature over rho, panel by panel where the process has a table."""
    edges = [s.rho, t.rho]
    if isinstance(process, VPDiscrete):
        count = process.num_train_timesteps
        inner = range(math.floor(t.t * count) + 1, math.ceil(s.t * count))
        edges = [t.rho, *(process.at(k / count).rho for k in inner), s.rho][::-1]
    parts = [
        quad(basis_of_time, upper, lower, args=(process, nodes, j), epsabs=0.0, epsrel=1e-12)[0]
        for upper, lower in pairwise(edges)
    ]
    return math.fsum(parts)


# Steps of 5 uniform and of 10 quadratic ones, off the table's nodes too, and one jump over all.
STEPS = (
    [0.2, 0.4, 0.6, 0.8, 0.001],
    [0.0961, 0.164, 0.25, 0.3551, 0.0457],
    [0.70005, 0.8, 0.9, 0.99, 0.6],
    [0.99, 0.001],
)


@pytest.mark.parametrize("grid", STEPS)
@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: f"{p!r:.20}")
def test_tab_coefficients_are_accurate_to_1e_10(process: Process, grid: list[float]) -> None:
    nodes, (s, t) = grid[:-1], (process.at(grid[0]), process.at(grid[-1]))
    found = basis_integrals(nodes, gauss_in_time(s, t, process))
    exact = [exact_integral(process, s, t, nodes, j) for j in range(len(nodes))]
    scale = max(abs(value) for value in exact)
    assert np.abs(np.subtract(found, exact)).max() < 1e-10 * scale, (found, exact)


@pytest.mark.parametrize("process", PROCESSES[:2], ids=lambda p: f"{p!r:.20}")
def test_steps_below_the_first_trained_time_are_integrated_too(process: Process) -> None:
    nodes, (s, t) = [0.02, 0.05], (process.at(0.02), process.at(1e-6))
    found = basis_integrals(nodes, gauss_in_time(s, t, process))
    exact = [exact_integral(process, s, t, nodes, j) for j in range(2)]
    np.testing.assert_allclose(found, exact, rtol=1e-9)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: f"{p!r:.20}")
def test_coefficients_add_up_to_the_step(process: Process) -> None:
    times = np.linspace(process.t_max, process.t_min, 8)
    for i in range(3, 7):
        levels = [process.at(float(t)) for t in times[i - 3 : i + 1]][::-1]
        s, t = levels[0], process.at(float(times[i + 1]))
        nodes = [level.t for level in levels]
        for found in (
            basis_integrals(nodes, gauss_in_time(s, t, process)),
            basis_integrals([-level.lam for level in levels], gauss_in_log_rho(s, t)),
            lagrange_weights([level.rho for level in levels], s.rho, t.rho),
        ):
            scale = math.fsum(abs(value) for value in found)
            assert abs(math.fsum(found) - (t.rho - s.rho)) < 1e-12 * scale, (i, found)


def log_rho_closed_form(u: list[float], rho: float, step: float) -> list[float]:
    """Moments m_0 = h, m_k = rho step^k e^step - k m_(k-1), times the basis polynomials."""
    moments = [rho * math.expm1(step)]
    for k in range(1, len(u)):
        moments.append(rho * step**k * math.exp(step) - k * moments[-1])
    rows = []
    for j, mine in enumerate(u):
        rest = np.atleast_1d(np.poly([other for k, other in enumerate(u) if k != j]))[::-1]
        rows.append(rest / math.prod(mine - other for k, other in enumerate(u) if k != j))
    return [float(row @ moments) for row in rows]


@pytest.mark.parametrize("ratio", [0.9, 0.5, 1e-2, 1e-4])
@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_log_rho_coefficients_are_the_closed_form(degree: int, ratio: float) -> None:
    ratios = [0.7, 1.9, 11.0, 60.0][: degree + 1]
    levels = [VPLinear().at_rho(rho) for rho in ratios]
    end = VPLinear().at_rho(ratios[0] * ratio)
    found = basis_integrals([-level.lam for level in levels], gauss_in_log_rho(levels[0], end))
    offsets = [math.log(rho / ratios[0]) for rho in ratios]
    np.testing.assert_allclose(
        found, log_rho_closed_form(offsets, ratios[0], math.log(ratio)), rtol=1e-9
    )


def published_time_rule(process: VPLinear, s: Level, t: Level) -> Rule:
    """10000 left ends with the analytic rho' = -f / (alpha sigma), f = d ln alpha / dt."""
    points = np.linspace(s.t, t.t, 10_000, endpoint=False)
    slope = 0.5 * (points * (process.beta_1 - process.beta_0) + process.beta_0)
    log_alpha = (
        -0.25 * points**2 * (process.beta_1 - process.beta_0) - 0.5 * points * process.beta_0
    )
    alpha, sigma = np.exp(log_alpha), np.sqrt(-np.expm1(2.0 * log_alpha))
    return Rule(points, slope / (alpha * sigma) * (t.t - s.t) / 10_000)


@pytest.mark.parametrize("grid", STEPS)
def test_the_published_rule_has_the_weights_of_its_analytic_form(grid: list[float]) -> None:
    process = VPLinear()
    s, t, nodes = process.at(grid[0]), process.at(grid[-1]), grid[:-1]
    found = basis_integrals(nodes, riemann_in_time(s, t, process))
    expected = basis_integrals(nodes, published_time_rule(process, s, t))
    scale = max(abs(value) for value in expected)
    assert np.abs(np.subtract(found, expected)).max() < 1e-6 * scale, (found, expected)


def test_the_published_rule_is_off_by_1e_4_in_time_and_less_in_rho() -> None:
    process = VPLinear()
    levels = [process.at(t) for t in (0.4, 0.6, 0.8)]
    s, t = levels[0], process.at(0.2)
    times, ratios = [level.t for level in levels], [level.rho for level in levels]
    in_time = np.subtract(
        basis_integrals(times, riemann_in_time(s, t, process)),
        basis_integrals(times, gauss_in_time(s, t, process)),
    )
    in_rho = np.subtract(
        basis_integrals(ratios, riemann_in_rho(s, t)), lagrange_weights(ratios, s.rho, t.rho)
    )
    step = abs(t.rho - s.rho)
    assert 3e-5 < np.abs(in_time).max() / step < 3e-4
    assert 1e-6 < np.abs(in_rho).max() / step < 1e-4


def quadratic(steps: int) -> list[float]:
    """The authors' grid for tAB, 1 to 1e-3."""
    return [*(np.linspace(1.0, math.sqrt(1e-3), steps + 1)[:-1] ** 2).tolist(), 1e-3]


def uniform(steps: int) -> list[float]:
    """Equal steps of time, 1 to 1e-3."""
    return [float(t) for t in np.linspace(1.0, 1e-3, steps + 1)]


def largest_difference(solver: str, times: list[float]) -> float:
    """Between samples with the published and with exact coefficients, data of unit scale."""
    published, exact = (
        sample(
            MIXTURE,
            start_states(),
            times=times,
            process=VPLinear(),
            solver=solver,
            options={"quadrature": quadrature},
        )
        for quadrature in ("riemann10000", "exact")
    )
    return float((published - exact).abs().max())


@pytest.mark.parametrize(
    ("times", "stated"),
    [
        (quadratic(40), 7e-5),
        (quadratic(10), 4e-4),
        (quadratic(5), 1.5e-3),
        (uniform(5), 6e-3),
    ],
    ids=["40", "10", "5", "5 uniform"],
)
def test_samples_of_the_published_rule_deviate_as_much_as_is_known(
    times: list[float], stated: float
) -> None:
    found = largest_difference("deis-tab3", times)
    assert 0.1 * stated < found < 1.5 * stated


def test_with_two_steps_the_published_rule_is_useless() -> None:
    assert 0.004 < largest_difference("deis-tab1", quadratic(2)) < 0.06


def test_the_published_rule_hardly_moves_rhoab() -> None:
    assert 1e-7 < largest_difference("deis-rhoab3", quadratic(10)) < 1e-4


def test_levels_that_coincide_are_refused() -> None:
    rule = gauss_in_log_rho(VPLinear().at(0.5), VPLinear().at(0.4))
    with pytest.raises(InvalidInput, match="two levels of a multistep method coincide"):
        basis_integrals([0.5, 0.5], rule)


def test_a_single_step_is_integrated_whatever_its_length() -> None:
    """One jump over all of rho: the sum of weights is the step to rounding."""
    process = VPDiscrete.linear()
    s, t = process.at(1.0), process.at(process.t_min)
    (found,) = basis_integrals([s.t], gauss_in_time(s, t, process))
    assert found == pytest.approx(t.rho - s.rho, rel=1e-13)
