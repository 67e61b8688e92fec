"""PLMS: the improved Euler start, what the history holds after it, the calls, the last step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from fewstep.denoisers import StackedLevel
from fewstep.process import VPDiscrete
from fewstep.program import trace
from fewstep.running import sample
from fewstep.solvers import SOLVERS, Kind
from fewstep.solvers.adams_bashforth import constant_weights
from tests.mixture2d import MIXTURE, at_level, start_states

PROCESS = VPDiscrete.linear()
TIMES = [1.0, 0.85, 0.7, 0.5, 0.35, 0.2, 0.08, 0.02]


def noise(v: Tensor, t: float) -> Tensor:
    """eps = (v - denoised) / rho at process time t."""
    level = PROCESS.at(t)
    return (v - MIXTURE(level.alpha * v, at_level(level, len(v)))) / level.rho


def written_out(order: int, times: list[float]) -> Tensor:
    """The method in v = x / alpha, straight from its description."""
    rho = [PROCESS.at(t).rho for t in times]
    v = start_states() / PROCESS.at(times[0]).alpha
    history = [noise(v, times[0])]
    euler = v + (rho[1] - rho[0]) * history[0]
    v = v + (rho[1] - rho[0]) * 0.5 * (history[0] + noise(euler, times[1]))
    for n in range(1, len(times) - 1):
        history = [noise(v, times[n]), *history]
        weights = constant_weights(min(order, len(history)))
        mixed = sum((w * e for w, e in zip(weights, history, strict=False)), torch.zeros_like(v))
        v = v + (rho[n + 1] - rho[n]) * mixed
    return PROCESS.at(times[-1]).alpha * v


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_samples_are_those_of_the_description(order: int) -> None:
    found = sample(MIXTURE, start_states(), times=TIMES, process=PROCESS, solver=f"plms{order}")
    torch.testing.assert_close(found, written_out(order, TIMES), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("steps", [4, 5, 9])
def test_the_start_costs_one_more_call(order: int, steps: int) -> None:
    times = np.linspace(1.0, 0.02, steps + 1).tolist()
    noisy = trace(times, process=PROCESS, solver=f"plms{order}")
    clean = trace([*times[:-1], 0.0], process=PROCESS, solver=f"plms{order}")
    assert (noisy.nfe, clean.nfe) == (steps + 1, steps + 1)


def test_a_single_step_to_clean_is_one_call() -> None:
    program = trace([1.0, 0.0], process=PROCESS, solver="plms1")
    assert (program.nfe, program.output) == (1, {"d0": 1.0})
    assert SOLVERS.get("plms1").nfe_of_steps(1) == 1


def test_the_calls_of_the_start_are_at_the_first_two_levels() -> None:
    program = trace(TIMES, process=PROCESS, solver="plms4")
    assert [node.level.t for node in program.nodes] == [TIMES[0], TIMES[1], *TIMES[1:-1]]


def test_order_1_differs_from_ddim_in_the_first_step_alone() -> None:
    plms = trace(TIMES, process=PROCESS, solver="plms1")
    ddim = trace(TIMES, process=PROCESS, solver="ddim")
    assert plms.nodes[1].input == pytest.approx(ddim.nodes[1].input, rel=1e-12)
    after = trace(TIMES[1:], process=PROCESS, solver="ddim")
    state = plms.nodes[2].input
    shares = after.nodes[1].input
    expected = {name: shares["x"] * value for name, value in state.items()} | {"d2": shares["d0"]}
    assert plms.nodes[3].input == pytest.approx(expected, rel=1e-10)
    assert state != ddim.nodes[2].input


def test_the_second_prediction_of_the_start_is_forgotten() -> None:
    """After it only the first is kept: the second reaches the end through the state alone."""
    order_2 = trace(TIMES[:3], process=PROCESS, solver="plms2")
    order_1 = trace(TIMES[:3], process=PROCESS, solver="plms1")
    s, t = PROCESS.at(TIMES[1]), PROCESS.at(TIMES[2])
    # d1's share of the state at the second level, times what a step of that order keeps of it.
    share = order_2.nodes[2].input["d1"] / s.alpha
    for program, weight in ((order_2, 1.5), (order_1, 1.0)):
        kept = 1.0 + weight * (t.rho - s.rho) / s.rho
        assert program.output["d1"] == pytest.approx(t.alpha * kept * share, rel=1e-10)


def test_it_asks_for_guided_predictions_and_ends_with_one_unmixed() -> None:
    asked: list[Kind] = []

    def model(x: Tensor, at: StackedLevel, kind: Kind = "denoised") -> Tensor:
        asked.append(kind)
        return torch.full_like(x, float(len(asked)))

    times = [*TIMES[:-1], 0.0]
    found = sample(model, start_states(), times=times, process=PROCESS, solver="plms4")
    assert asked == ["denoised"] * 8
    assert bool((found == 8.0).all()), "the last prediction itself"
