"""Calibrations are of the full network as the task guides it, made once, and alike everywhere."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from evaluators.banks import Bank
from evaluators.calibrating import KEPT_CALIBRATIONS, ROWS
from evaluators.score import Numerics, Task
from evaluators.tasks import make_task
from evaluators.tile_runner import load_runner
from fewstep.guidance import Guidance
from fewstep.networks.guided_model import GuidedModel
from fewstep.networks.models import load_network
from fewstep.networks.pruning.calibration import calibrate
from fewstep.networks.pruning.calibration_plan import CalibrationPlan
from tests.unit.evaluators.repairs import CARD, MODEL, PLAN, TIMES

NUM_IMAGES = 24  # more than go into one pass


def _task(scale: float = 1.0, guidance: Guidance | None = None) -> Task:
    numerics = Numerics(micro_batch=16)
    return make_task(MODEL, guidance=guidance, guidance_scale=scale, numerics=numerics)


@pytest.mark.parametrize(
    ("solver", "scale", "passes"), [("ddim", 1.0, 1), ("ddpm", 2.0, 2), ("add1", 2.0, 2)]
)
def test_moments_are_of_the_full_guided_network_on_the_calibration_bank(
    solver: str, scale: float, passes: int
) -> None:
    task = _task(scale)
    plan = CalibrationPlan(solver=solver, times=TIMES, num_images=NUM_IMAGES)
    with torch.inference_mode():  # in which tiles are run
        found = load_runner(task).calibrator.moments(plan)

    program = plan.program(CARD.make_process())
    bank = task.noise_bank(Bank("calibration"))
    labels = bank.labels(0, NUM_IMAGES)
    assert labels is not None

    def denoise(network: torch.nn.Module) -> object:
        model = GuidedModel(
            network=network,
            guidance=task.guidance,
            scale=scale,
            null_label=CARD.null_label,
            clip=1.0,
        )
        return model.denoiser(torch.from_numpy(labels), is_split=program.is_split)

    expected = calibrate(
        load_network(CARD),
        program,
        denoise,  # type: ignore[arg-type]  # a denoiser
        torch.from_numpy(bank.noise(0, NUM_IMAGES)),
        of_call=[node.network for node in program.nodes],
        noise=[
            torch.from_numpy(bank.noise(0, NUM_IMAGES, term=term))
            for term in range(program.noise_terms)
        ],
        micro_batch=ROWS,
    )
    assert found.sha256 == expected.sha256
    assert len(found.bands) == len(TIMES) - 1
    first = found.bands[0]["input_blocks.1.0"]
    if solver != "add1":  # whose calls are no passes of equal numbers
        assert first.count == passes * NUM_IMAGES * 64


def test_a_classifier_s_gradient_is_part_of_the_states() -> None:
    plan = CalibrationPlan(solver="ddim", times=TIMES, num_images=8)
    with torch.inference_mode():
        found = {
            load_runner(_task(scale, "classifier")).calibrator.moments(plan).sha256
            for scale in (1.0, 4.0)
        }
    assert len(found) == 2


def test_threads_that_need_a_calibration_at_once_share_one() -> None:
    calibrator = load_runner(_task()).calibrator
    with ThreadPoolExecutor(3) as pool:
        first, *others = pool.map(calibrator.moments, [PLAN] * 3)
    assert all(other is first for other in others)


def test_the_last_calibrations_are_kept_and_a_forgotten_one_comes_back_as_it_was() -> None:
    calibrator = load_runner(_task()).calibrator
    plans = [
        CalibrationPlan(solver="ddim", times=TIMES, num_images=count)
        for count in range(4, 5 + KEPT_CALIBRATIONS)
    ]
    found = [calibrator.moments(plan) for plan in plans]
    assert calibrator.moments(plans[-1]) is found[-1]
    again = calibrator.moments(plans[0])
    assert again is not found[0]
    assert again.sha256 == found[0].sha256
