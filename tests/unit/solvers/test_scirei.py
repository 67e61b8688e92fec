"""SciREI-2: its order with and without the published phi, and its formula in the state's space."""

from __future__ import annotations

import math

import pytest
import torch

from fewstep.errors import InvalidInput
from fewstep.program import trace
from fewstep.running import sample
from fewstep.solvers import SOLVERS
from fewstep.solvers.scire_phi import LIMIT
from tests.mixture2d import MIXTURE, at_level, start_states
from tests.scire_cases import exact_linear, linear_denoiser
from tests.solver_order import GRIDS, PROCESS, fitted_order

TIMES = [0.9, 0.7, 0.45, 0.3, 0.1]


@pytest.mark.parametrize("grid", sorted(GRIDS))
@pytest.mark.parametrize(
    ("options", "order"),
    [({}, 2), ({"r1": 0.3}, 2), ({"phi_rule": "m3"}, 1), ({"phi_rule": "limit"}, 1)],
)
def test_the_fitted_order_is_that_of_the_analysis(
    options: dict[str, object], order: int, grid: str
) -> None:
    bottom = 0.3 if grid == "uniform-t" else 0.05
    fit = fitted_order("scirei-2", grid, counts=(60, 120, 240), bottom=bottom, options=options)
    assert fit.order == pytest.approx(order, abs=0.2), fit


def test_the_registered_order_is_that_of_the_defaults() -> None:
    assert SOLVERS.get("scirei-2").order == 2


@pytest.mark.parametrize(("options", "phi"), [({}, 1.0), ({"phi_rule": "m3"}, 2 / 3)])
@pytest.mark.parametrize("r1", [0.5, 0.3, 1.0])
def test_a_step_is_the_published_formula(options: dict[str, object], phi: float, r1: float) -> None:
    s, t, x = PROCESS.at(0.6), PROCESS.at(0.4), start_states()
    h = t.lam - s.lam
    middle = PROCESS.at_rho(math.exp(-(s.lam + r1 * h)))
    start = (x - s.alpha * MIXTURE(x, at_level(s, len(x)))) / s.sigma
    inner = middle.alpha / s.alpha * x - middle.sigma * math.expm1(r1 * h) * start
    change = (inner - middle.alpha * MIXTURE(inner, at_level(middle, len(x)))) / middle.sigma
    change = change - start
    expected = t.alpha / s.alpha * x - t.sigma * math.expm1(h) * start
    expected = expected - t.sigma * (math.exp(h) - 1.0 - h) / (phi * r1 * h) * change
    options = {**options, "r1": r1}
    found = sample(
        MIXTURE, x, times=[0.6, 0.4], process=PROCESS, solver="scirei-2", options=options
    )
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("phi", [1.0, LIMIT])
def test_a_constant_noise_prediction_is_integrated_exactly(phi: float) -> None:
    x, denoiser = start_states(), linear_denoiser(1, 0.7, 0.0)
    found = sample(
        denoiser, x, times=TIMES, process=PROCESS, solver="scirei-2", options={"phi": phi}
    )
    torch.testing.assert_close(found, exact_linear(1, TIMES, 0.7, 0.0, x), rtol=1e-11, atol=1e-11)


def test_a_share_of_one_is_the_level_of_the_grid_itself() -> None:
    program = trace([0.7, 0.4], process=PROCESS, solver="scirei-2", options={"r1": 1.0})
    assert program.nodes[1].level == PROCESS.at(0.4)


def test_ramps_are_no_rule_of_scirei() -> None:
    with pytest.raises(InvalidInput, match=r"options.phi_rule='ramp': allowed: given, m3, limit"):
        trace(TIMES, process=PROCESS, solver="scirei-2", options={"phi_rule": "ramp"})
