"""The installed diffusers, given an exported schedule, makes the same images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from fewstep.denoisers import from_noise
from fewstep.errors import InvalidInput
from fewstep.mcmc.plan import ChainPlan
from fewstep.process import VPDiscrete
from fewstep.reuse import diffusers
from fewstep.schedule import ModelSection, Schedule
from fewstep.schedule_chains import LevelGuideSection
from tests.pruned_documents import FULL, THIN, of_steps, schedule_of


def _predictor(process: VPDiscrete) -> Callable[[Tensor, int], Tensor]:
    """A smooth noise prediction whose clean prediction leaves [-1, 1]."""

    def predict(x: Tensor, index: int) -> Tensor:
        level = process.at(process.time_of(index))
        denoised = 1.4 * torch.tanh(3 * level.alpha * x / (0.3 + level.sigma**2))
        return (x - level.alpha * denoised) / level.sigma

    return predict


def _schedule(process: VPDiscrete, indices: list[int], solver: str, clip: bool) -> Schedule:
    model = ModelSection(
        name="t",
        prediction="noise",
        checkpoint_sha256="0" * 64,
        image_shape=(1, 8, 8),
        process=process.describe(),
        clip_denoised=clip,
    )
    times = [*(process.time_of(index) for index in indices), 0.0]
    return Schedule.build(times, model=model, solver=solver)


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("solver", ["ddim", "dpm-solver++-2m"])
@pytest.mark.parametrize("build", [VPDiscrete.linear, VPDiscrete.scaled_linear])
@pytest.mark.parametrize("indices", [[657, 514, 258, 18], [999, 500, 20], [998, 997], [640, 3]])
def test_images_agree(
    build: Callable[[], VPDiscrete], indices: list[int], solver: str, clip: bool
) -> None:
    process = build()
    schedule = _schedule(process, indices, solver, clip)
    predict = _predictor(process)
    x = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    denoiser = from_noise(
        lambda state, t: predict(state, round(float(t[0]) * 1000) - 1),
        process,
        clip=1.0 if clip else None,
    )
    ours = schedule.sample(denoiser, x)
    theirs = diffusers.sample(schedule, predict, x)
    # A float32 noise prediction holds the clean one to 1e-7 times the noise ratio, 157 at most.
    torch.testing.assert_close(theirs, ours, rtol=0.0, atol=5e-5)


def _rescaled() -> VPDiscrete:
    return VPDiscrete.zero_terminal_snr(VPDiscrete.linear())


def _table() -> VPDiscrete:
    return VPDiscrete([0.999 - 0.0009 * k for k in range(1000)])


@pytest.mark.parametrize("solver", ["ddim", "dpm-solver++-2m"])
@pytest.mark.parametrize("build", [VPDiscrete.cosine, _rescaled, _table])
@pytest.mark.parametrize("indices", [[999, 700, 300, 20], [998, 500, 20], [640, 3]])
def test_images_agree_on_processes_whose_levels_are_none_of_a_named_one(
    build: Callable[[], VPDiscrete], indices: list[int], solver: str
) -> None:
    process = build()
    schedule = _schedule(process, indices, solver, True)
    predict = _predictor(process)
    x = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    denoiser = from_noise(
        lambda state, t: predict(state, round(float(t[0]) * 1000) - 1), process, clip=1.0
    )
    deviation = (diffusers.sample(schedule, predict, x) - schedule.sample(denoiser, x)).abs().max()
    # As above; the noise ratio is 4096 where a level is at its floor. At the last index diffusers
    # takes sigma from 1 - (alpha^2 in float32), which loses digits where sigma is small.
    first, last = (process.at(process.time_of(indices[place])) for place in (0, -1))
    allowed = 5e-5 + 1e-6 * first.rho + 2e-6 / last.sigma
    assert float(deviation) < allowed, (float(deviation), allowed)


def test_clipping_matters_in_that_test() -> None:
    process = VPDiscrete.linear()
    x = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    images = [
        diffusers.sample(
            _schedule(process, [657, 514, 258, 18], "ddim", clip), _predictor(process), x
        )
        for clip in (False, True)
    ]
    assert float((images[0] - images[1]).abs().max()) > 0.1


def test_the_scheduler_follows_the_list() -> None:
    scheduler: Any = diffusers.scheduler(
        _schedule(VPDiscrete.linear(), [657, 514, 258, 18], "dpm-solver++-2m", False)
    )
    assert scheduler.timesteps.tolist() == [657, 514, 258, 18]
    assert float(scheduler.sigmas[-1]) == 0.0


def test_a_solver_without_counterpart_is_refused() -> None:
    schedule = _schedule(VPDiscrete.linear(), [657, 258], "heun", False)
    with pytest.raises(InvalidInput, match="heun"):
        diffusers.scheduler(schedule)


def test_the_scheduler_takes_the_solver_type() -> None:
    process = VPDiscrete.linear()
    x = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    model = _schedule(process, [657], "ddim", False).model
    times = [*(process.time_of(index) for index in (657, 514, 258, 18)), 0.0]
    schedule = Schedule.build(
        times, model=model, solver="dpm-solver++-2m", options={"solver_type": "heun"}
    )
    predict = _predictor(process)
    denoiser = from_noise(lambda state, t: predict(state, round(float(t[0]) * 1000) - 1), process)
    theirs = diffusers.sample(schedule, predict, x)
    torch.testing.assert_close(theirs, schedule.sample(denoiser, x), rtol=0.0, atol=5e-5)


def test_orders_of_single_steps_are_refused() -> None:
    model = _schedule(VPDiscrete.linear(), [657, 258], "ddim", False).model
    schedule = Schedule.build(
        [0.6, 0.4, 0.2, 0.0], model=model, solver="dpm-solver++-2m", options={"order": [2, 1, 2]}
    )
    with pytest.raises(InvalidInput, match=r"options\.order\[1\]=1: not exported"):
        diffusers.scheduler(schedule)


def test_a_schedule_that_ends_noisy_is_refused() -> None:
    clean = _schedule(VPDiscrete.linear(), [657, 258], "ddim", False)
    noisy = Schedule.build([0.6, 0.2], model=clean.model, solver="ddim")
    with pytest.raises(InvalidInput, match="terminal"):
        diffusers.timesteps(noisy)


def test_points_between_indices_are_refused() -> None:
    clean = _schedule(VPDiscrete.linear(), [657, 258], "ddim", False)
    between = Schedule.build([0.6001, 0.2, 0.0], model=clean.model, solver="ddim")
    with pytest.raises(InvalidInput, match=r"points.k\[0\]"):
        diffusers.timesteps(between)


def test_a_schedule_of_chains_is_refused() -> None:
    plain = _schedule(VPDiscrete.linear(), [657, 514, 258, 18], "ddim", clip=True)
    guide = LevelGuideSection(name="levels", sha256="0" * 64)
    drawn = plain.with_chains(ChainPlan(eta=0.5, num_skip=2), guide=guide, images=256)
    for export in (diffusers.timesteps, diffusers.scheduler):
        with pytest.raises(InvalidInput, match="schedules without chains"):
            export(drawn)


def test_a_pruned_schedule_is_refused_and_told_what_runs_it() -> None:
    pruned = schedule_of(of_steps(FULL, THIN, FULL))
    for export in (diffusers.timesteps, diffusers.scheduler):
        with pytest.raises(InvalidInput, match=r"denoisers of fewstep\.load_pruned") as caught:
            export(pruned)
        assert caught.value.field == "architecture"
