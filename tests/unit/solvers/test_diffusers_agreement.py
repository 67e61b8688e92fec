"""The installed diffusers makes the same samples on the same levels: our formulas are theirs.

Their tables are overwritten with our levels in float64, so that what is left is the formulas.
`EulerDiscreteScheduler` and `DPMSolverMultistepScheduler` still cast states to float32.

The grid's K steps are their K timesteps, the step to the last level counted. They end at the clean
level with `final_sigmas_type="zero"`, or at a noisy one with "sigma_min" and that level's ratio.
Their `lower_order_final` acts below 15 steps as ours does always, in UniPC always.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
import torch
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_dpmsolver_singlestep import DPMSolverSinglestepScheduler
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from diffusers.schedulers.scheduling_heun_discrete import HeunDiscreteScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from torch import Tensor

from fewstep.level import Level
from fewstep.process import VPDiscrete
from fewstep.running import sample
from tests.mixture2d import MIXTURE, at_level, start_states

PROCESS = VPDiscrete.linear()
INDICES = [999, 861, 700, 523, 377, 180, 64, 11]
TIMES = [PROCESS.time_of(index) for index in INDICES]
CLEAN, NOISY = [*TIMES, 0.0], TIMES
FLOAT64 = 1e-12
FLOAT32 = 1e-6


def scheduler(kind: Any, levels: list[Level], **settings: object) -> Any:
    """Their scheduler for the linear betas, stepping through our levels in float64."""
    made = kind(
        beta_schedule="linear",
        beta_start=1e-4,
        beta_end=0.02,
        num_train_timesteps=1000,
        prediction_type="sample",
        **settings,
    )
    steps = len(levels) - 1
    made.set_timesteps(steps)
    made.sigmas = torch.tensor([level.rho for level in levels], dtype=torch.float64)
    made.timesteps = torch.arange(steps, 0, -1)  # steppers only look them up
    made.set_begin_index(0)
    return made


def theirs(stepper: Any, levels: list[Level], *, is_scaled: bool) -> Tensor:
    """Their samples; `is_scaled` ones keep x in our scale, others divide it by alpha."""
    x = start_states()
    state = x if is_scaled else x / levels[0].alpha
    for i, level in enumerate(levels[: len(stepper.timesteps)]):
        scaled = state if is_scaled else level.alpha * state
        denoised = MIXTURE(scaled, at_level(level, len(x)))
        state = stepper.step(denoised, stepper.timesteps[i], state).prev_sample
    return state if is_scaled else levels[-1].alpha * state


def ours(times: list[float], solver: str, options: Mapping[str, object] | None = None) -> Tensor:
    return sample(
        MIXTURE, start_states(), times=times, process=PROCESS, solver=solver, options=options
    )


def assert_agree(found: Tensor, expected: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def levels_of(times: list[float]) -> list[Level]:
    return [PROCESS.at(t) for t in times]


def final(times: list[float]) -> str:
    return "zero" if times[-1] == 0.0 else "sigma_min"


@pytest.mark.parametrize("times", [CLEAN, NOISY])
def test_ddim_is_their_euler(times: list[float]) -> None:
    levels = levels_of(times)
    stepper = scheduler(EulerDiscreteScheduler, levels)
    stepper.is_scale_input_called = True
    stepper.timesteps = stepper.timesteps.to(torch.float32)
    found = theirs(stepper, levels, is_scaled=False)
    assert_agree(ours(times, "ddim"), found, FLOAT32)


def test_heun_is_their_heun() -> None:
    """Theirs always ends clean, by the same first-order step; each inner level comes twice."""
    levels = levels_of(CLEAN)
    doubled = [levels[0], *(level for level in levels[1:-1] for _ in range(2)), levels[-1]]
    stepper = scheduler(HeunDiscreteScheduler, doubled)
    found = theirs(stepper, doubled, is_scaled=False)
    assert_agree(ours(CLEAN, "heun"), found, FLOAT64)


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("times", [CLEAN, NOISY])
@pytest.mark.parametrize(
    ("order", "solver", "solver_type"),
    [
        (1, "ddim", "midpoint"),
        (2, "dpm-solver++-2m", "midpoint"),
        (2, "dpm-solver++-2m", "heun"),
        (3, "dpm-solver++-3m", "midpoint"),
        (3, "dpm-solver++-3m", "heun"),
    ],
)
def test_multistep_dpm_solver_pp_agrees(
    order: int, solver: str, solver_type: str, times: list[float], lower: bool
) -> None:
    levels = levels_of(times)
    stepper = scheduler(
        DPMSolverMultistepScheduler,
        levels,
        solver_order=order,
        solver_type=solver_type,
        algorithm_type="dpmsolver++",
        lower_order_final=lower,
        final_sigmas_type=final(times),
    )
    found = theirs(stepper, levels, is_scaled=True)
    options = {"lower_order_final": lower, "solver_type": solver_type} if order > 1 else {}
    assert_agree(ours(times, solver, options), found, FLOAT32)


@pytest.mark.parametrize("solver_type", ["midpoint", "heun"])
def test_2s_is_their_single_step_solver_on_a_grid_that_holds_the_middles(solver_type: str) -> None:
    """Theirs takes every second listed level as the inner one of a step."""
    levels = levels_of(NOISY)
    middles = [PROCESS.at_rho(math.sqrt(s.rho * t.rho)) for s, t in pairwise(levels)]
    listed = [level for pair in zip(levels, middles, strict=False) for level in pair]
    listed.append(levels[-1])
    stepper = scheduler(
        DPMSolverSinglestepScheduler,
        listed,
        solver_order=2,
        solver_type=solver_type,
        algorithm_type="dpmsolver++",
        lower_order_final=False,
        final_sigmas_type="sigma_min",
    )
    found = theirs(stepper, listed, is_scaled=True)
    expected = ours(NOISY, "dpm-solver++-2s", {"solver_type": solver_type})
    assert_agree(expected, found, FLOAT64)


# To the clean level theirs is no number with bh1, and at more than order 1.
@pytest.mark.parametrize(
    ("times", "variant", "lower"),
    [
        (CLEAN, "bh2", True),
        (NOISY, "bh2", True),
        (NOISY, "bh2", False),
        (NOISY, "bh1", True),
        (NOISY, "bh1", False),
    ],
)
@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("uncorrected", [[], [0, 2]])
def test_unipc_agrees(
    order: int, variant: str, times: list[float], lower: bool, uncorrected: list[int]
) -> None:
    levels = levels_of(times)
    stepper = scheduler(
        UniPCMultistepScheduler,
        levels,
        solver_order=order,
        solver_type=variant,
        lower_order_final=lower,
        disable_corrector=uncorrected,
        final_sigmas_type=final(times),
    )
    found = theirs(stepper, levels, is_scaled=True)
    options = {
        "variant": variant,
        "lower_order_final": lower,
        "corrector": [i not in uncorrected for i in range(len(times) - 1)],
    }
    assert_agree(ours(times, f"unipc-{order}", options), found, FLOAT64)
