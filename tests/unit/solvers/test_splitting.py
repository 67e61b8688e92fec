"""Splitting solvers: their orders on smooth guidance, their stability on stiff guidance, costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from fewstep.denoisers import Denoiser
from fewstep.errors import InvalidInput
from fewstep.guidance import Cost, cost_of
from fewstep.level import Level
from fewstep.program import trace
from fewstep.running import run, run_eagerly, sample
from fewstep.solvers.adams_bashforth import constant_weights
from tests.guided_problems import (
    BOTTOM,
    PROCESS,
    TOP,
    A,
    B,
    error,
    first_mean,
    first_variance,
    fitted_order,
    problem,
    times,
)
from tests.mixture2d import MIXTURE, at_level, rms, start_states

Chosen = Mapping[str, object]
CLEAN_TIMES = [1.0, 0.7, 0.5, 0.3, 0.15, 0.05, 0.0]


@pytest.mark.parametrize(
    ("solver", "options", "order"),
    [
        ("ltsp1", {}, 1),
        ("ltsp2", {}, 1),
        ("ltsp4", {}, 1),
        ("ltsp4", {"order_first": "diff"}, 1),
        ("ltsp4", {"order_first": "diff", "cond_time": "start"}, 1),
        ("stsp1", {}, 1),
        ("stsp2", {}, 1),
        ("stsp4", {}, 1),
        ("stsp4", {"half_sigma": "end", "fused": True}, 1),
        ("add4", {}, 1),
        ("add4", {"order_cond": 4, "weights": "variable"}, 4),
    ],
)
def test_the_order_on_smooth_guidance_is_that_of_the_table(
    solver: str, options: Chosen, order: int
) -> None:
    errors = {steps: error(A, 4.0, solver, steps, options) for steps in (100, 200, 400)}
    assert fitted_order(errors) == pytest.approx(order, abs=0.2), errors


@pytest.mark.slow
@pytest.mark.parametrize(("solver", "options"), [("add2", {"order_cond": 2}), ("plms4", {})])
def test_weights_of_equal_steps_cap_the_order_at_two(solver: str, options: Chosen) -> None:
    errors = {steps: error(A, 4.0, solver, steps, options) for steps in (800, 1600)}
    assert fitted_order(errors) == pytest.approx(2, abs=0.2), errors


@pytest.mark.parametrize("solver", ["ltsp4", "stsp4", "add4"])
def test_guidance_of_scale_one_draws_from_the_first_component(solver: str) -> None:
    """There the flow has a closed form: that of a single Gaussian."""
    top, bottom = PROCESS.at(TOP), PROCESS.at(BOTTOM)
    shrink = (first_variance(at_level(bottom, 1)) / first_variance(at_level(top, 1))).sqrt()
    exact = bottom.alpha * first_mean() + shrink * (start_states() - top.alpha * first_mean())
    errors = {}
    for steps in (100, 200):
        found = run_eagerly(
            problem(A, 1.0), start_states(), times=times(steps), process=PROCESS, solver=solver
        )
        errors[steps] = rms(found - exact)
    assert errors[200] < 5e-3, errors
    assert fitted_order(errors) == pytest.approx(1, abs=0.2), errors


@pytest.mark.parametrize("steps", [10, 20, 50])
@pytest.mark.parametrize(("solver", "options"), [("plms4", {}), ("add4", {"order_cond": 4})])
def test_unsplit_fourth_order_diverges_on_stiff_guidance(
    solver: str, options: Chosen, steps: int
) -> None:
    assert error(B, 5.0, solver, steps, options) > 1e6


def test_unsplit_fourth_order_is_still_wrong_at_a_hundred_steps() -> None:
    assert error(B, 5.0, "plms4", 100) > 0.5
    assert error(B, 5.0, "stsp4", 100) < 2e-3


def test_ddim_is_unstable_on_stiff_guidance_at_ten_steps_alone() -> None:
    assert error(B, 5.0, "ddim", 10) > 10.0
    assert error(B, 5.0, "ddim", 20) < 0.1


@pytest.mark.parametrize("scale", [2.0, 5.0])
@pytest.mark.parametrize("solver", ["ltsp4", "stsp4"])
def test_splitting_is_accurate_on_stiff_guidance_from_twenty_steps(
    solver: str, scale: float
) -> None:
    errors = {steps: error(B, scale, solver, steps) for steps in (20, 30, 50)}
    assert errors[20] < 0.02, errors
    assert errors[30] < 0.005, errors
    assert errors[50] < 0.0025, errors


@pytest.mark.parametrize("scale", [2.0, 5.0])
def test_strang_splitting_stays_bounded_at_ten_steps(scale: float) -> None:
    assert error(B, scale, "stsp4", 10) < 0.2


@pytest.mark.parametrize("solver", ["ltsp1", "ltsp4"])
def test_fourth_order_on_the_condition_part_diverges_where_euler_does_not(solver: str) -> None:
    assert error(B, 5.0, solver, 20, {"order_cond": 4}) > 1e3
    assert error(B, 5.0, solver, 20) < 0.05


def test_which_part_goes_first_matters_and_which_is_better_depends_on_stiffness() -> None:
    diff = {"order_first": "diff"}
    assert error(A, 4.0, "ltsp4", 20, diff) < 0.5 * error(A, 4.0, "ltsp4", 20)
    assert error(B, 5.0, "ltsp4", 20) < 0.5 * error(B, 5.0, "ltsp4", 20, diff)
    assert error(B, 5.0, "ltsp4", 10) < 0.1 * error(B, 5.0, "ltsp4", 10, diff)


def test_the_additive_variant_wins_on_smooth_guidance_and_loses_on_stiff_guidance() -> None:
    assert error(A, 4.0, "add4", 20) < 0.5 * error(A, 4.0, "stsp4", 20)
    assert error(B, 5.0, "add4", 10) > 1e3


def by_hand(denoiser: Denoiser, x: Tensor, *, strang: bool, momentum: float = 1.0) -> Tensor:
    """[4, 1] splitting of `CLEAN_TIMES`, as its released code goes, and written apart from ours."""
    levels = [PROCESS.at(t) for t in CLEAN_TIMES]
    v, noises = x / levels[0].alpha, []
    slope: Tensor | None = None

    def kicked(v: Tensor, at: Level, alpha: float, sigma: float, h: float) -> Tensor:
        nonlocal slope
        current = -sigma * denoiser(alpha * v, at_level(at, len(v)), "gradient")
        slope = current if slope is None else (1 - momentum) * slope + momentum * current
        return v + h * slope

    for s, t in pairwise(levels):
        h = t.rho - s.rho
        v = kicked(v, s, s.alpha, s.sigma, h / 2 if strang else h)
        noises.append((v - denoiser(s.alpha * v, at_level(s, len(v)), "base")) / s.rho)
        weights = constant_weights(min(4, len(noises)))
        v = v + h * sum(w * e for w, e in zip(weights, reversed(noises), strict=False))
        if strang:
            middle = (s.rho + t.rho) / 2
            sigma = middle / math.sqrt(1 + middle**2)
            v = kicked(v, t if t.sigma else s, t.alpha, sigma, h / 2)
    return v


@pytest.mark.parametrize("momentum", [1.0, 0.8])
@pytest.mark.parametrize(("solver", "strang"), [("ltsp4", False), ("stsp4", True)])
def test_steps_are_those_of_the_released_code_down_to_the_clean_level(
    solver: str, strang: bool, momentum: float
) -> None:
    denoiser = problem(A, 4.0)
    found = sample(
        denoiser,
        start_states(),
        times=CLEAN_TIMES,
        process=PROCESS,
        solver=solver,
        options={"cond_momentum": momentum},
    )
    expected = by_hand(denoiser, start_states(), strang=strang, momentum=momentum)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


def test_first_order_without_splitting_is_guided_ddim() -> None:
    denoiser = problem(A, 4.0)
    found, expected = (
        sample(denoiser, start_states(), times=CLEAN_TIMES, process=PROCESS, solver=solver)
        for solver in ("add1", "ddim")
    )
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    ("solver", "options", "gradients", "classifier_free_passes"),
    [
        ("ltsp4", {}, 6, 18),
        ("ltsp4", {"order_first": "diff", "cond_time": "start"}, 6, 18),
        ("ltsp4", {"order_first": "diff"}, 5, 16),  # guidance at the clean level is zero
        ("stsp4", {}, 12, 30),
        ("stsp4", {"half_sigma": "end"}, 11, 28),
        ("stsp4", {"fused": True}, 7, 20),
        ("add4", {}, 6, 18),
    ],
)
def test_costs_are_counted_by_part(
    solver: str, options: Chosen, gradients: int, classifier_free_passes: int
) -> None:
    program = trace(CLEAN_TIMES, process=PROCESS, solver=solver, options=options)
    assert program.calls == {"base": 6, "gradient": gradients}
    assert program.nfe == 6
    calls = {node.kind: program.calls[node.kind] for node in program.nodes}
    assert cost_of(calls, "classifier") == Cost(passes=6, gradients=gradients)
    assert cost_of(calls, "classifier-free") == Cost(passes=classifier_free_passes, gradients=0)


@pytest.mark.parametrize("solver", ["ltsp2", "stsp2", "add2"])
def test_a_skipped_gradient_is_not_evaluated(solver: str) -> None:
    full = trace(CLEAN_TIMES, process=PROCESS, solver=solver).calls["gradient"]
    choice = ["evaluate", "reuse", "omit", "reuse", "evaluate", "omit"]
    program = trace(CLEAN_TIMES, process=PROCESS, solver=solver, options={"gradient": choice})
    assert program.calls["gradient"] == full // 3


@pytest.mark.parametrize("solver", ["ltsp4", "stsp4", "add4"])
def test_without_gradients_the_base_model_alone_is_sampled(solver: str) -> None:
    program = trace(CLEAN_TIMES, process=PROCESS, solver=solver, options={"gradient": "omit"})
    assert program.calls == {"base": 6}
    unguided = sample(
        problem(A, 0.0), start_states(), times=CLEAN_TIMES, process=PROCESS, solver=solver
    )
    torch.testing.assert_close(run(program, MIXTURE, start_states()), unguided)


@pytest.mark.parametrize("solver", ["ltsp2", "stsp2", "add2"])
def test_what_is_known_is_put_in_after_every_step(solver: str) -> None:
    program = trace(CLEAN_TIMES, process=PROCESS, solver=solver, options={"impute": True})
    assert program.calls["impute"] == 6
    found = run(program, problem(B, 1.0), start_states())
    torch.testing.assert_close(found[:, 0], torch.ones(16, dtype=torch.float64))


def test_uneven_steps_lower_the_order_to_two_where_asked() -> None:
    lowered = trace(CLEAN_TIMES, process=PROCESS, solver="ltsp4", options={"step_ratio": 1.0})
    assert lowered == trace(CLEAN_TIMES, process=PROCESS, solver="ltsp2")
    generous = trace(CLEAN_TIMES, process=PROCESS, solver="ltsp4", options={"step_ratio": 100.0})
    assert generous == trace(CLEAN_TIMES, process=PROCESS, solver="ltsp4")


def test_the_order_of_each_step_is_the_one_given() -> None:
    given = trace(
        CLEAN_TIMES, process=PROCESS, solver="stsp4", options={"order": [1, 1, 2, 1, 2, 1]}
    )
    assert given != trace(CLEAN_TIMES, process=PROCESS, solver="stsp4", options={"order": 1})
    ones = trace(CLEAN_TIMES, process=PROCESS, solver="stsp4", options={"order": 1})
    assert ones == trace(CLEAN_TIMES, process=PROCESS, solver="stsp1")


@pytest.mark.parametrize(
    ("solver", "options", "field"),
    [
        ("ltsp1", {"gradient": "reuse"}, "options.gradient[0]"),
        (
            "stsp1",
            {"gradient": ["omit", "reuse", "evaluate", "evaluate", "evaluate", "evaluate"]},
            "options.gradient[1]",
        ),
        ("ltsp1", {"cond_time": "start"}, "options.cond_time"),
        ("add1", {"cond_momentum": 0.8, "order_cond": 2}, "options.cond_momentum"),
        ("ltsp2", {"order": 3}, "options.order"),
        ("ltsp4", {"order_cond": 3}, "options.order_cond"),
        ("ltsp4", {"half_sigma": "mid"}, "options.half_sigma"),
    ],
)
def test_options_that_mean_nothing_are_named(solver: str, options: Chosen, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        trace(CLEAN_TIMES, process=PROCESS, solver=solver, options=options)
    assert refused.value.field == field, refused.value.message
