"""Adams-Bashforth weights are the integrals they claim to be, and histories leak nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from fewstep.denoisers import StackedLevel
from fewstep.errors import InvalidInput
from fewstep.process import VPDiscrete
from fewstep.running import run_eagerly
from fewstep.solvers import Kind
from fewstep.solvers.adams_bashforth import constant_weights, lagrange_basis, lagrange_weights
from fewstep.solvers.noise_history import advance_with_history
from tests.mixture2d import MIXTURE

# Newest first, as different from equal steps as grids get: 150 to 0.01 in rho.
NODES = (0.4, 3.0, 20.0, 152.0)
STOP = 0.01


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_equal_steps_give_the_classical_weights(order: int) -> None:
    """Polynomials through 0, -1, ..., integrated over [0, 1]."""
    nodes = [-float(k) for k in range(order)]
    np.testing.assert_allclose(
        lagrange_weights(nodes, 0.0, 1.0), constant_weights(order), rtol=1e-14
    )


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_constant_weights_add_up_to_one(order: int) -> None:
    assert math.fsum(constant_weights(order)) == pytest.approx(1.0, abs=1e-15)


@pytest.mark.parametrize("order", [0, 5])
def test_orders_that_are_not_there_are_refused(order: int) -> None:
    with pytest.raises(InvalidInput, match=f"order={order}: allowed: 1 to 4"):
        constant_weights(order)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_polynomials_through_the_nodes_are_integrated_exactly(count: int) -> None:
    weights = lagrange_weights(NODES[:count], NODES[0], STOP)
    for power in range(count):
        found = math.fsum(w * node**power for w, node in zip(weights, NODES, strict=False))
        exact = (STOP ** (power + 1) - NODES[0] ** (power + 1)) / (power + 1)
        scale = math.fsum(abs(w) * node**power for w, node in zip(weights, NODES, strict=False))
        assert abs(found - exact) <= 1e-14 * scale, (power, found, exact)


def test_weights_keep_all_digits_where_steps_differ_by_thousands() -> None:
    """Against adaptive quadrature of each basis polynomial in its product form."""
    weights = lagrange_weights(NODES, NODES[0], STOP)
    for j, weight in enumerate(weights):
        others = [node for k, node in enumerate(NODES) if k != j]

        def basis(q: float, mine: float = NODES[j], rest: list[float] = others) -> float:
            return math.prod((q - node) / (mine - node) for node in rest)

        exact, _ = quad(basis, NODES[0], STOP, epsabs=0.0, epsrel=1e-13)
        assert weight == pytest.approx(exact, rel=1e-12), j


def test_the_basis_is_one_at_its_own_node_and_zero_at_the_others() -> None:
    values = [[np.polyval(row[::-1], node) for node in NODES] for row in lagrange_basis(NODES)]
    np.testing.assert_allclose(values, np.eye(4), atol=1e-12)


def test_no_step_means_no_weight() -> None:
    assert lagrange_weights((2.0, 3.0), 2.0, 2.0) == (0.0, 0.0)


def test_equal_nodes_are_refused_with_the_grid_named() -> None:
    with pytest.raises(InvalidInput, match="two levels of a multistep method coincide"):
        lagrange_weights((1.0, 2.0, 2.0), 1.0, 0.5)


def test_predictions_without_a_weight_never_enter_a_step() -> None:
    """Poison in the history stays there while weights do not reach it."""
    process = VPDiscrete.linear()
    levels = [process.at(t) for t in (0.8, 0.6, 0.4)]
    poison = [torch.full((4, 2), math.nan, dtype=torch.float64)] * 3

    class Model:
        def __call__(self, x: torch.Tensor, at: object, kind: str = "denoised") -> torch.Tensor:
            return 0.1 * x

        def noise(self) -> torch.Tensor:
            raise AssertionError("no noise here")

    v = torch.ones(4, 2, dtype=torch.float64)
    for reach, is_clean in ((1, True), (2, False)):
        weights = [[0.1] * reach, [0.1] * (reach + 1)]
        found = advance_with_history(Model(), v, levels, weights.__getitem__, poison)
        assert bool(torch.isfinite(found).all()) is is_clean, f"reach {reach}: {found}"


@pytest.mark.parametrize("name", ["deis-tab3", "deis-rhoab3", "deis-logrhoab3", "ipndm4", "plms4"])
def test_a_poisoned_prediction_reaches_the_states_after_it_alone(name: str) -> None:
    """NaN from call j on: every state that was put to the model up to call j is finite."""
    process, poisoned, states = VPDiscrete.linear(), 4, []

    def model(x: torch.Tensor, at: StackedLevel, kind: Kind = "denoised") -> torch.Tensor:
        states.append(bool(torch.isfinite(x).all()))
        denoised = MIXTURE(x, at)
        return denoised * (math.nan if len(states) > poisoned else 1.0)

    x = torch.ones(2, 2, dtype=torch.float64)
    times = np.linspace(1.0, 0.1, 9).tolist()
    run_eagerly(model, x, times=times, process=process, solver=name)
    first_bad = states.index(False)
    assert first_bad == poisoned + 1, f"finite inputs: {states}"
