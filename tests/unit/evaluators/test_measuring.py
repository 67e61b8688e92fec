"""Keys of measurements say what was measured; plans that cannot be run are refused by name."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from evaluators.measuring import calibration_program, network_calls, seconds_key, survey_key
from evaluators.score import Numerics, Task
from evaluators.tasks import make_task
from fewstep.errors import InvalidInput
from fewstep.networks.pruning.calibration_plan import CalibrationPlan
from tests.unit.evaluators.repairs import CARD, FULL, MODEL, PLAN, THIN, TIMES

PROCESS = CARD.make_process()


@pytest.fixture(scope="module")
def task() -> Task:
    return make_task(MODEL, numerics=Numerics(micro_batch=16))


def test_a_survey_s_key_says_everything_it_depends_on_and_nothing_else(task: Task) -> None:
    plan = PLAN
    key = survey_key(task, plan, "magnitude", "ridge")
    assert survey_key(replace(task, reference_sha256="0" * 64), plan, "magnitude", "ridge") == key
    others = {
        survey_key(task, plan, "reconstruction", "ridge"),
        survey_key(task, plan, "magnitude", "none"),
        survey_key(task, replace(plan, num_images=17), "magnitude", "ridge"),
        survey_key(replace(task, weights_sha256="0" * 64), plan, "magnitude", "ridge"),
        survey_key(replace(task, guidance_scale=2.0), plan, "magnitude", "ridge"),
        survey_key(replace(task, clip_denoised=False), plan, "magnitude", "ridge"),
    }
    assert len(others | {key}) == 7


def test_a_time_s_key_says_chip_network_and_arithmetic_but_neither_weights_nor_guidance(
    task: Task,
) -> None:
    key = seconds_key(task, "chip", THIN)
    trained_more = replace(task, weights_sha256="0" * 64, guidance_scale=3.0)
    assert seconds_key(trained_more, "chip", THIN) == key
    others = {
        seconds_key(task, "other chip", THIN),
        seconds_key(task, "chip", FULL),
        seconds_key(replace(task, numerics=Numerics(micro_batch=32)), "chip", THIN),
        seconds_key(replace(task, definition_sha256="0" * 64), "chip", THIN),
    }
    assert len(others | {key}) == 5


def test_solvers_that_split_are_calibrated_on_under_guidance_alone(task: Task) -> None:
    plan = CalibrationPlan(solver="add1", times=TIMES)
    with pytest.raises(InvalidInput, match=r"calibration\.solver='add1': asks for gradient"):
        calibration_program(plan, task, PROCESS)
    assert calibration_program(plan, replace(task, guidance_scale=2.0), PROCESS).is_split


def test_a_calibration_whose_rounding_errors_grow_is_refused(task: Task) -> None:
    wild = CalibrationPlan(solver="dpm-solver++-2m", times=(1.0, 0.999, 0.002, 0.0))
    with pytest.raises(InvalidInput, match=r"condition .* of the program; allowed: up to 100"):
        calibration_program(wild, task, PROCESS)


def test_calls_that_a_classifier_answers_are_no_calls_of_the_network() -> None:
    plan = CalibrationPlan(solver="add1", times=TIMES)
    program = plan.program(PROCESS)
    by_network = network_calls(program, plan, "classifier-free")
    by_classifier = network_calls(program, plan, "classifier")
    assert [call for calls in by_network for call in calls] == list(range(len(program.nodes)))
    kinds = {program.nodes[call].kind for calls in by_classifier for call in calls}
    assert kinds == {"base"}
    assert all(by_classifier)


def test_measuring_is_named_without_torch(repository: Path) -> None:
    code = "import sys, evaluators.measuring, evaluators.questions; print('torch' in sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "False"
