"""Schedules in diffusers: native integer timesteps for the schedulers that take them.

`scheduler(schedule)` gives a configured scheduler with the searched timesteps set; in a pipeline
pass `timesteps=timesteps(schedule)` to the call instead, since pipelines set them anew.
Needs the package `diffusers` (extra: `diffusers`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from fewstep.errors import InvalidInput, MissingExtra
from fewstep.process import VPDiscrete
from fewstep.process.checks import ALPHA_FLOOR
from fewstep.schedule import Schedule
from fewstep.solvers import SOLVERS, canonical_name
from fewstep.solvers.options import options_to_dict, resolve_options

if TYPE_CHECKING:
    from diffusers.schedulers.scheduling_utils import SchedulerMixin

# predict(x, k): states (B, ...) and the integer training index -> predicted noise, shaped like x.
PredictNoise: TypeAlias = Callable[[Tensor, int], Tensor]

# DDIM's own scheduler finds its next index by a fixed stride, which is wrong for searched lists;
# first-order DPM-Solver++ is the same method and follows the list.
_ORDERS = {"ddim": 1, "dpm-solver++-2m": 2}
_BETA_SCHEDULES = {
    "linear": "linear",
    "scaled_linear": "scaled_linear",
    "cosine": "squaredcos_cap_v2",
}
_FLOOR = ALPHA_FLOOR**2 * (1.0 + 1e-9)  # of a cumulative alpha, rounding included
_PREDICTIONS = {"noise": "epsilon", "denoised": "sample", "velocity": "v_prediction"}


def timesteps(schedule: Schedule) -> list[int]:
    """The training indices of the points, from noise to data, terminal not included.

    Raises:
        InvalidInput: the schedule has points between indices, does not end clean, is one of chains,
            or runs pruned networks.
    """
    if schedule.architecture is not None:
        raise InvalidInput(
            "architecture: a scheduler runs the one network of its pipeline, and this schedule a "
            "pruned one at each step; allowed: schedules without an architecture, or "
            "Schedule.sample with the denoisers of fewstep.load_pruned",
            field="architecture",
        )
    if schedule.chains is not None:
        raise InvalidInput(
            "chains: diffusers starts from noise, and this schedule from chains; allowed: "
            "schedules without chains",
            field="chains",
        )
    if schedule.terminal != "zero":
        raise InvalidInput(
            f"terminal={schedule.terminal!r}: diffusers needs a schedule that ends at the clean "
            "level; allowed: zero",
            field="terminal",
        )
    indices = []
    for i, index in enumerate(schedule.points.k[:-1]):
        if index is None:
            raise InvalidInput(
                f"points.k[{i}]: the point lies between training indices; diffusers' DPM-Solver "
                "truncates those",
                field=f"points.k[{i}]",
            )
        indices.append(index)
    return indices


def scheduler(schedule: Schedule) -> SchedulerMixin:
    """A `DPMSolverMultistepScheduler` that runs the schedule, its timesteps set.

    Raises:
        InvalidInput: the solver or the process has no counterpart there.
        MissingExtra: diffusers is not installed.
    """
    order = _ORDERS.get(schedule.solver.name)
    if order is None:
        raise InvalidInput(
            f"solver.name={schedule.solver.name!r}: not exported to diffusers; allowed: "
            f"{', '.join(sorted(_ORDERS))}",
            field="solver.name",
        )
    options = _options(schedule)
    _check_orders(options.get("order", ()), order)
    configured = _scheduler_class()(
        **_betas(schedule),
        solver_order=order,
        prediction_type=_PREDICTIONS[schedule.model.prediction],
        algorithm_type="dpmsolver++",
        solver_type=options.get("solver_type", "midpoint"),
        # The wrapped network clips: see `clipped`.
        thresholding=False,
        lower_order_final=schedule.solver.lower_order_final,
        final_sigmas_type="zero",
        use_karras_sigmas=False,
    )
    configured.set_timesteps(timesteps=timesteps(schedule))
    return configured  # type: ignore[no-any-return]


def sample(schedule: Schedule, predict: PredictNoise, x: Tensor) -> Tensor:
    """Run a schedule with diffusers' own update steps.

    Args:
        schedule: the document.
        predict: the noise network, guidance included, called with states and the training index.
        x: start states of shape (B, ...): unit normal noise, as our own sampler takes it.

    Raises:
        InvalidInput: the schedule has no counterpart there, or its model predicts no noise.
    """
    if schedule.model.prediction != "noise":
        raise InvalidInput(
            f"model.prediction={schedule.model.prediction!r}: `predict` gives noise",
            field="model.prediction",
        )
    stepper: Any = scheduler(schedule)
    network = clipped(schedule, predict) if schedule.model.clip_denoised else predict
    for index in stepper.timesteps:
        x = stepper.step(network(x, int(index)), index, x).prev_sample
    return x


def clipped(schedule: Schedule, predict: PredictNoise) -> PredictNoise:
    """A noise network whose implied clean prediction is clipped to [-1, 1].

    The clipped prediction is turned back into noise, so that any scheduler sees it.

    Raises:
        InvalidInput: the schedule's process has no training indices.
    """
    process = schedule.process
    if not isinstance(process, VPDiscrete):
        raise InvalidInput(
            f"model.process.family={process.family!r}: has no training indices; allowed: "
            f"{VPDiscrete.family}",
            field="model.process.family",
        )

    def predict_clipped(x: Tensor, index: int) -> Tensor:
        level = process.at(process.time_of(index))
        denoised = (x - level.sigma * predict(x, index)) / level.alpha
        return (x - level.alpha * torch.clamp(denoised, -1.0, 1.0)) / level.sigma

    return predict_clipped


def _options(schedule: Schedule) -> dict[str, Any]:
    """Every option of the solver, whether the document lists it or not."""
    entry = SOLVERS.get(canonical_name(schedule.solver.name))
    given, steps = schedule.solver.options, schedule.solver.steps
    return dict(options_to_dict(resolve_options(entry.options, given, steps=steps)))


def _check_orders(orders: Sequence[int], order: int) -> None:
    """Refuse orders of single steps, which the schedulers there choose by themselves."""
    for i, one in enumerate(orders):
        if one != order:
            raise InvalidInput(
                f"solver.options.order[{i}]={one!r}: not exported to diffusers; allowed: {order}",
                field=f"solver.options.order[{i}]",
            )


def _betas(schedule: Schedule) -> dict[str, object]:
    """The process by name; as numbers where it has no name there, or a level that is none of it.

    Levels almost without signal are held at a floor: on the cosine schedule, index 999.
    """
    process, described = schedule.process, schedule.model.process
    if not isinstance(process, VPDiscrete):
        raise InvalidInput(
            f"model.process.family={process.family!r}: not exported to diffusers; allowed: "
            f"{VPDiscrete.family}",
            field="model.process.family",
        )
    count = process.num_train_timesteps
    signal = np.exp(2.0 * process.node_log_alphas(0, count))  # cumulative alphas, 1 before them
    name = _BETA_SCHEDULES.get(str(described.get("beta_schedule")))
    has_own_levels = "rescale_zero_snr" in described or signal[-1] <= _FLOOR
    if name is None or has_own_levels:
        betas = 1.0 - signal[1:] / signal[:-1]
        return {"trained_betas": betas.tolist(), "num_train_timesteps": count}
    named: dict[str, object] = {"beta_schedule": name, "num_train_timesteps": count}
    if "beta_start" in described:
        named |= {"beta_start": described["beta_start"], "beta_end": described["beta_end"]}
    return named


def _scheduler_class() -> Any:
    try:
        from diffusers.schedulers.scheduling_dpmsolver_multistep import (
            DPMSolverMultistepScheduler,
        )
    except ImportError as error:
        raise MissingExtra(
            "diffusers is not installed; install it with: pip install 'fewstep[diffusers]'"
        ) from error
    return DPMSolverMultistepScheduler
