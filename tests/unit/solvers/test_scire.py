"""SciRE, single-step: its orders, its exactness, its options, against independent arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from fewstep.errors import InvalidInput
from fewstep.program import trace
from fewstep.running import sample
from fewstep.solvers import SOLVERS
from fewstep.solvers.scire import agile_orders, fixed_orders
from fewstep.solvers.scire_form import ScoreIntegrand
from fewstep.solvers.scire_phi import LIMIT, partial_phi, single_step_ramps
from tests.mixture2d import MIXTURE, at_level, start_states
from tests.scire_cases import (
    PUBLISHED,
    coordinates,
    exact_linear,
    linear_denoiser,
    published_rows,
    versions_on,
)
from tests.solver_order import PROCESS, fitted_order

TIMES = [0.9, 0.7, 0.45, 0.3, 0.1]
# The grids' last ratio. Uniform times crowd u = 1 / rho so much that version 2 shows its order at
# 0.05 only from 600 steps on.
BOTTOM = {"nsr": 0.05, "irregular": 0.05, "uniform-t": 0.3}


ORDER_ROWS = [
    ("scire-2", {}, 2),
    *published_rows("scire-2"),
    ("scire-2", {"inner_nodes": "uniform-t"}, 2),
    ("scire-2", {"order": 1}, 1),
    ("scire-3", {}, 2),
    *published_rows("scire-3"),
    ("scire-3", {"inner": "heun3"}, 3),
    ("scire-3", {"inner": "heun3", "inner_nodes": "nsr-3.1"}, 3),
]


@pytest.mark.parametrize(("grid", "version"), versions_on("nsr", "uniform-t", "irregular"))
@pytest.mark.parametrize(("solver", "options", "order"), ORDER_ROWS)
def test_the_fitted_order_is_that_of_the_analysis(
    solver: str, options: dict[str, object], order: int, grid: str, version: int
) -> None:
    fit = fitted_order(
        solver,
        grid,
        counts=(60, 120, 240),
        bottom=BOTTOM[grid],
        options={**options, "version": version},
    )
    assert fit.order == pytest.approx(order, abs=0.2), fit


def test_the_registered_order_is_that_of_the_defaults() -> None:
    assert {name: SOLVERS.get(name).order for name in ("scire-2", "scire-3")} == {
        "scire-2": 2,
        "scire-3": 2,
    }


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("solver", ["scire-2", "scire-3"])
def test_order_one_is_ddim_in_both_versions(solver: str, version: int) -> None:
    options = {"version": version, "order": 1}
    x = start_states()
    found = sample(MIXTURE, x, times=TIMES, process=PROCESS, solver=solver, options=options)
    ddim = sample(MIXTURE, x, times=TIMES, process=PROCESS, solver="ddim")
    torch.testing.assert_close(found, ddim, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("rule", ["given", *PUBLISHED])
@pytest.mark.parametrize("solver", ["scire-2", "scire-3"])
def test_a_constant_integrand_is_exact_with_every_phi(solver: str, rule: str, version: int) -> None:
    x = start_states()
    options = {"version": version, "phi_rule": rule}
    denoiser = linear_denoiser(version, 0.7, 0.0)
    found = sample(denoiser, x, times=TIMES, process=PROCESS, solver=solver, options=options)
    torch.testing.assert_close(
        found, exact_linear(version, TIMES, 0.7, 0.0, x), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("phi", [1.0, 0.8, 2.0 / 3.0, LIMIT, 0.5])
@pytest.mark.parametrize("solver", ["scire-2", "scire-3"])
def test_one_step_on_a_linear_integrand_errs_by_the_gain(
    solver: str, phi: float, version: int
) -> None:
    """(g - 1) h^2 F' / 2 with g = 1 / phi: nothing for phi = 1, and no h^3 in it."""
    times, slope, x = [0.6, 0.4], -1.3, start_states()
    (u_s, _), (u_t, scale) = (coordinates(version, PROCESS.at(t)) for t in times)
    found = sample(
        linear_denoiser(version, 0.7, slope),
        x,
        times=times,
        process=PROCESS,
        solver=solver,
        options={"version": version, "phi": phi},
    )
    error = (found - exact_linear(version, times, 0.7, slope, x)) / scale
    expected = (1.0 / phi - 1.0) * (u_t - u_s) ** 2 * slope / 2.0
    torch.testing.assert_close(error, torch.full_like(error, expected), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("inner", ["paper", "heun3"])
def test_a_step_is_the_runge_kutta_method_of_its_tableau(inner: str, version: int) -> None:
    """c = (0, r1, r2), b = (1 - b3, 0, b3), written down from the tableau, not from the solver."""
    r1, r2, phi = 0.3, 0.75, 0.8
    s, t = PROCESS.at(0.6), PROCESS.at(0.4)
    (u_s, scale_s), (u_t, scale_t) = coordinates(version, s), coordinates(version, t)
    h = u_t - u_s
    a32 = (r2**2 if inner == "heun3" else r2) / (2.0 * r1 * phi)
    tableau = [[], [r1], [r2 - a32, a32], [1 - 0.5 / (r2 * phi), 0.0, 0.5 / (r2 * phi)]]
    x = start_states()
    slopes: list[Tensor] = []
    stage = x / scale_s
    for c, row in zip((0.0, r1, r2, 1.0), tableau, strict=True):
        stage = x / scale_s + sum(a * h * f for a, f in zip(row, slopes, strict=True))
        u = u_s + c * h
        at = PROCESS.at_rho(u if version == 1 else 1.0 / u)
        state = coordinates(version, at)[1] * stage
        denoised = MIXTURE(state, at_level(at, len(x)))
        slopes.append(denoised if version == 2 else (state - at.alpha * denoised) / at.sigma)
    found = sample(
        MIXTURE,
        x,
        times=[0.6, 0.4],
        process=PROCESS,
        solver="scire-3",
        options={"version": version, "inner": inner, "r1": r1, "r2": r2, "phi": phi},
    )
    torch.testing.assert_close(found, scale_t * stage, rtol=1e-11, atol=1e-11)


def test_each_step_takes_its_own_phi_and_order() -> None:
    x = start_states()
    for phi, order, times in ((0.7, 2, TIMES[:2]), (0.9, 1, TIMES[1:3]), (0.5, 3, TIMES[2:4])):
        options = {"phi": phi, "order": order}
        x = sample(MIXTURE, x, times=times, process=PROCESS, solver="scire-3", options=options)
    found = sample(
        MIXTURE,
        start_states(),
        times=TIMES[:4],
        process=PROCESS,
        solver="scire-3",
        options={"phi": [0.7, 0.9, 0.5], "order": [2, 1, 3]},
    )
    torch.testing.assert_close(found, x, rtol=1e-11, atol=1e-11)


def test_partial_sums_of_phi_are_the_published_numbers() -> None:
    found = [partial_phi(m) for m in range(1, 8)]
    expected = [1.0, 0.5, 2 / 3, 0.625, 19 / 30, 0.6319444444444444, 0.6321428571428571]
    assert found == pytest.approx(expected, abs=1e-15)
    assert partial_phi(10**6) == pytest.approx((math.e - 1) / math.e, abs=1e-15)


@pytest.mark.parametrize(
    ("rule", "full_steps", "terms"),
    [
        ("ramp", 1, [3, 3]),
        ("ramp", 4, [3, 5, 6, 4, 6]),
        ("ramp", 5, [3, 5, 7, 6, 4, 7]),
        ("ramp-oct-2023", 4, [4, 6, 5, 3, 5]),
        ("ramp-oct-2023", 5, [4, 6, 7, 5, 3, 6]),
    ],
)
def test_ramps_rise_and_fall_as_published(rule: str, full_steps: int, terms: list[int]) -> None:
    """The last entry is the extra step of agile allocations, where the index wraps around."""
    ramp = single_step_ramps(full_steps)[rule]
    assert [ramp(i) for i in range(full_steps + 1)] == terms


def test_a_named_rule_is_the_phi_it_stands_for() -> None:
    orders = [*agile_orders(11, 3), 3]  # three full steps and one of order 2, then the clean one
    times = [0.9, 0.7, 0.5, 0.3, 0.1, 0.0]
    for rule, terms in (("ramp", [3, 5, 4, 5]), ("ramp-oct-2023", [4, 5, 3, 4])):
        named = trace(
            times,
            process=PROCESS,
            solver="scire-3",
            options={"phi_rule": rule, "order": orders},
        )
        phi = [*(partial_phi(m) for m in terms), 1.0]
        given = trace(
            times, process=PROCESS, solver="scire-3", options={"phi": phi, "order": orders}
        )
        assert named == given, rule


@pytest.mark.parametrize("order", [1, 2, 3])
def test_agile_orders_spend_every_call(order: int) -> None:
    for nfe in range(1, 40):
        orders = agile_orders(nfe, order)
        assert sum(orders) == nfe, orders
        assert max(orders) <= order, orders


@pytest.mark.parametrize(
    ("nfe", "order", "orders"),
    [
        (9, 3, (3, 3, 2, 1)),
        (10, 3, (3, 3, 3, 1)),
        (11, 3, (3, 3, 3, 2)),
        (3, 3, (2, 1)),
        (2, 3, (2,)),
        (1, 3, (1,)),
        (6, 2, (2, 2, 2)),
        (7, 2, (2, 2, 2, 1)),
    ],
)
def test_agile_orders_are_those_of_the_paper(nfe: int, order: int, orders: tuple[int, ...]) -> None:
    assert agile_orders(nfe, order) == orders


def test_fixed_orders_leave_the_remainder_unspent() -> None:
    assert fixed_orders(20, 3) == (3,) * 6
    assert fixed_orders(2, 3) == (2,)


@pytest.mark.parametrize(("nfe", "order", "field"), [(0, 3, "nfe"), (5, 4, "order")])
def test_impossible_allocations_are_named(nfe: int, order: int, field: str) -> None:
    for allocate in (agile_orders, fixed_orders):
        with pytest.raises(InvalidInput, match=f"{field}={nfe if field == 'nfe' else order}"):
            allocate(nfe, order)


@pytest.mark.parametrize("nfe", [1, 2, 3, 7, 9, 10, 11])
def test_calls_follow_from_the_orders_on_grids_that_end_clean_and_noisy(nfe: int) -> None:
    orders = agile_orders(nfe, 3)
    times = np.linspace(0.9, 0.1, len(orders) + 1).tolist()
    noisy = trace(times, process=PROCESS, solver="scire-3", options={"order": list(orders)})
    options: dict[str, object] = {"order": [*orders, 3]}
    clean = trace([*times, 0.0], process=PROCESS, solver="scire-3", options=options)
    promised = SOLVERS.get("scire-3").nfe_of_steps(len(orders) + 1, options)
    assert (noisy.nfe, clean.nfe, promised) == (nfe, nfe + 1, nfe + 1)


@pytest.mark.parametrize("version", [1, 2])
def test_named_inner_grids_place_the_levels(version: int) -> None:
    s, t = PROCESS.at(0.7), PROCESS.at(0.4)
    expected = {
        "uniform-t": [PROCESS.at(0.6).rho, PROCESS.at(0.5).rho],
        "log-snr": np.geomspace(s.rho, t.rho, 4)[1:-1].tolist(),
        "nsr-3.1": (np.geomspace(s.rho + 3.1 * t.rho, 4.1 * t.rho, 4)[1:-1] - 3.1 * t.rho).tolist(),
    }
    for inner_nodes, ratios in expected.items():
        options = {"version": version, "inner_nodes": inner_nodes}
        program = trace([0.7, 0.4], process=PROCESS, solver="scire-3", options=options)
        found = [node.level.rho for node in program.nodes[1:]]
        assert found == pytest.approx(ratios, rel=1e-12), inner_nodes


def test_ratios_of_rho_place_the_levels_of_version_2_as_the_published_code_does() -> None:
    s, middle, t = (PROCESS.at(time).rho for time in (0.7, 0.55, 0.4))
    share = (middle - s) / (t - s)
    program = trace(
        [0.7, 0.4],
        process=PROCESS,
        solver="scire-2",
        options={"version": 2, "inner_nodes": "uniform-t", "ratio_coordinate": "nsr"},
    )
    expected = 1.0 / s + share * (1.0 / t - 1.0 / s)
    assert 1.0 / program.nodes[1].level.rho == pytest.approx(expected, rel=1e-12)


def test_a_share_of_one_is_the_level_of_the_grid_itself() -> None:
    program = trace([0.7, 0.4], process=PROCESS, solver="scire-2", options={"r1": 1.0})
    assert program.nodes[1].level == PROCESS.at(0.4)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"phi_rule": "m3", "phi": 0.9}, "options.phi"),
        ({"inner_nodes": "uniform-t", "r1": 0.4}, "options.r1"),
        ({"inner_nodes": "log-snr", "r2": 0.7}, "options.r2"),
        ({"ratio_coordinate": "nsr", "version": 1, "inner_nodes": "log-snr"}, "ratio_coordinate"),
        ({"ratio_coordinate": "nsr", "version": 2}, "ratio_coordinate"),
        ({"order": 4}, "options.order"),
        ({"phi": 0.4}, "options.phi"),
        ({"version": 3}, "options.version"),
    ],
)
def test_options_without_effect_or_outside_their_limits_are_refused(
    options: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        trace(TIMES, process=PROCESS, solver="scire-3", options=options)
    assert field in str(caught.value.field)
    assert "allowed" in caught.value.message


@pytest.mark.parametrize("solver", ["scire-2", "scire-3", "scire-2m", "scire-3m", "scirei-2"])
@pytest.mark.parametrize("second", [0.9, 0.9 - 1e-12, 0.95])
def test_zero_width_and_reversed_grids_are_refused(solver: str, second: float) -> None:
    """0.9 - 1e-12 is a smaller time, but the same node of the process."""
    with pytest.raises(InvalidInput, match="times"):
        trace([0.9, second, 0.5, 0.3], process=PROCESS, solver=solver)


@pytest.mark.parametrize("version", [1, 2])
def test_an_inner_level_that_rounds_to_its_step_s_start_is_refused(version: int) -> None:
    s, t = PROCESS.at(0.6), PROCESS.at(0.4)
    with pytest.raises(InvalidInput, match=r"no level between 0\.6 and 0\.4"):
        ScoreIntegrand(version).share(s, s, t)
