"""iPNDM: its weights, constant, variable and as published, and what they make of each other."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fewstep.errors import InvalidInput
from fewstep.process import VPDiscrete
from fewstep.process.variance_exploding import EDM
from fewstep.program import Program, trace
from fewstep.solvers import canonical_name
from fewstep.solvers.adams_bashforth import constant_weights

EDM_PROCESS = EDM()
EQUAL = [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0]
CURVED = [80.0, 40.0, 18.0, 7.0, 2.5, 0.6, 0.1]


def program(order: int, ratios: list[float], weights: str = "constant") -> Program:
    """On EDM, where alpha = 1 and t = rho: coefficients are those of rho itself."""
    options = {"weights": weights}
    return trace(ratios, process=EDM_PROCESS, solver=f"ipndm{order}", options=options)


def noise_weights(ratios: list[float], weights: str) -> list[float]:
    """What the predictions count in the last step, oldest last, read off the program.

    eps_k = (v_k - d_k) / rho_k and only the last step's weight reaches the newest prediction, so
    weights are peeled off from the newest on by a model whose noise is 1 at one call alone.
    """
    count = len(ratios) - 1
    found = []
    for chosen in reversed(range(count)):
        v, ends = 0.0, []
        traced = trace(
            ratios, process=EDM_PROCESS, solver=f"ipndm{count}", options={"weights": weights}
        )
        sources = {"x": v}
        for k, node in enumerate(traced.nodes):
            state = sum(c * sources[name] for name, c in node.input.items())
            ends.append(state)
            sources[f"d{k}"] = state - node.level.rho * (1.0 if k == chosen else 0.0)
        end = sum(c * sources[name] for name, c in traced.output.items())
        found.append(end - ends[-1])
    return found


def assert_same(one: Program, other: Program, tolerance: float = 1e-12) -> None:
    """Equal coefficients; conditions are small here, so absolute differences do."""
    for a, b in zip(one.nodes, other.nodes, strict=True):
        assert a.level == b.level
        assert a.input == pytest.approx(b.input, rel=tolerance, abs=tolerance)
    assert one.output == pytest.approx(other.output, rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_on_equal_steps_of_rho_it_is_deis_rhoab(order: int) -> None:
    rhoab = trace(EQUAL, process=EDM_PROCESS, solver=f"deis-rhoab{order - 1}")
    assert_same(program(order, EQUAL), rhoab)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_variable_weights_are_deis_rhoab_on_any_grid(order: int) -> None:
    rhoab = trace(CURVED, process=EDM_PROCESS, solver=f"deis-rhoab{order - 1}")
    assert_same(program(order, CURVED, "variable"), rhoab)


def test_constant_weights_differ_from_it_elsewhere() -> None:
    constant, variable = program(4, CURVED), program(4, CURVED, "variable")
    gaps = [abs(constant.output[key] - value) for key, value in variable.output.items()]
    assert max(gaps) > 0.1


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_last_step_has_the_classical_weights_whatever_the_grid(count: int) -> None:
    if count == 1:
        assert canonical_name("ipndm1") == "ddim"
        return
    ratios = CURVED[: count + 1]
    h = ratios[-1] - ratios[-2]
    expected = [h * weight for weight in constant_weights(count)]
    np.testing.assert_allclose(noise_weights(ratios, "constant"), expected, rtol=1e-12)


# What the public code gives for levels (oldest first) and the end of the step, in units of rho.
PUBLISHED = [
    ([9.0, 5.0, 3.0, 2.0], [-1.7361111111111112, 0.9791666666666666, -0.24305555555555555]),
    (
        [10.0, 9.0, 5.0, 3.0, 2.0],
        [-1.8521825396825398, 1.2229166666666667, -0.6493055555555556, 0.03482142857142857],
    ),
    (
        [8.0, 4.0, 2.0, 1.0, 0.5],
        [-0.8970734126984127, 0.5403645833333333, -0.1469184027777778, 0.003627232142857143],
    ),
]


@pytest.mark.parametrize(("ratios", "expected"), PUBLISHED, ids=["3", "4", "4 halving"])
def test_published_weights_are_those_of_the_public_code(
    ratios: list[float], expected: list[float]
) -> None:
    np.testing.assert_allclose(noise_weights(ratios, "published-variable"), expected, rtol=1e-12)


def test_published_weights_of_equal_steps_are_the_known_wrong_ones() -> None:
    found = noise_weights([8.0, 7.0, 6.0, 5.0, 4.0], "published-variable")
    np.testing.assert_allclose(np.multiply(found, -24.0), [57.0, -65.0, 43.0, -11.0], rtol=1e-12)


def test_published_weights_of_order_3_are_right_for_equal_steps_alone() -> None:
    equal = [7.0, 6.0, 5.0, 4.0]
    np.testing.assert_allclose(
        noise_weights(equal, "published-variable"), noise_weights(equal, "variable"), rtol=1e-12
    )
    curved = CURVED[:4]
    gap = np.subtract(
        noise_weights(curved, "published-variable"), noise_weights(curved, "variable")
    )
    assert np.abs(gap).max() > 0.1


def test_published_weights_of_order_2_are_right() -> None:
    assert_same(program(2, CURVED, "published-variable"), program(2, CURVED, "variable"))


@pytest.mark.parametrize("weights", ["constant", "variable", "published-variable"])
def test_all_weights_but_the_published_of_order_4_add_up_to_the_step(weights: str) -> None:
    for count in (2, 3, 4):
        ratios = [10.0, 9.0, 5.0, 3.0, 2.0][4 - count :]
        gap = math.fsum(noise_weights(ratios, weights)) - (ratios[-1] - ratios[-2])
        is_off = weights == "published-variable" and count == 4
        assert (abs(gap) > 0.01) is is_off, (count, gap)


def test_orders_can_be_chosen_for_each_step() -> None:
    options = {"order": [1, 1, 2, 3, 1, 2]}
    found = trace(CURVED, process=EDM_PROCESS, solver="ipndm3", options=options)
    assert found != program(3, CURVED)
    first = trace(CURVED, process=EDM_PROCESS, solver="ipndm3", options={"order": 1})
    assert_same(first, trace(CURVED, process=EDM_PROCESS, solver="ddim"))


def test_each_step_is_one_call() -> None:
    process = VPDiscrete.linear()
    times = [1.0, 0.8, 0.6, 0.4, 0.2, 0.0]
    assert trace(times, process=process, solver="ipndm4").nfe == 5


def test_unknown_weights_are_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidInput, match="allowed: constant, variable, published-variable"):
        program(2, CURVED, "exact")
