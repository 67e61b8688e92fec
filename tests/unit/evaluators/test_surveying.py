"""Surveys: rankings by what was asked for, errors of the output at the middle of every band."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from evaluators.calibrating import SENSITIVITY_IMAGES
from evaluators.inline import InlineExecutor
from evaluators.score import Numerics, Task
from evaluators.scoring import TileScorer
from evaluators.tasks import blocks_of, make_task, process_of, reference_of
from evaluators.tile_runner import TileRunner, load_runner
from fewstep.errors import InvalidInput
from fewstep.networks.pruning.calibration_plan import CalibrationPlan
from fewstep.networks.pruning.importance import magnitude, ranking, reconstruction
from space.survey import Importance, Survey
from tests.unit.evaluators.repairs import BLOCKS, MODEL

PLAN = CalibrationPlan(solver="ddim", times=(0.6, 0.2, 0.0), num_images=4)
SHORT = CalibrationPlan(solver="ddim", times=(0.4, 0.0), num_images=4)


@pytest.fixture(scope="module")
def task() -> Task:
    return make_task(MODEL, numerics=Numerics(micro_batch=16))


@pytest.fixture(scope="module")
def runner(task: Task) -> TileRunner:
    return load_runner(task)


@pytest.fixture(scope="module")
def scorer(task: Task, runner: TileRunner) -> Iterator[TileScorer]:
    executor, reference = InlineExecutor(runner, slots=1), reference_of(task).gaussian
    with closing(
        TileScorer(
            task, executor, process=process_of(task), reference=reference, blocks=blocks_of(task)
        )
    ) as opened:
        yield opened


def test_every_unit_of_every_block_is_ranked_and_measured_in_every_band(
    scorer: TileScorer,
) -> None:
    found = scorer.survey(PLAN, "sensitivity")
    assert len(found.bands) == 2
    for band in found.bands:
        for block in scorer.blocks:
            errors = band.unit_errors[block.name]
            assert sorted(band.rankings[block.name]) == list(range(block.units))
            assert len(errors) == block.units
            assert min(errors) >= 0.0
            assert band.body_errors[block.name] > 0.0
            by_error = sorted(range(block.units), key=lambda unit: (-errors[unit], unit))
            assert band.rankings[block.name] == tuple(by_error)
    names = {block.name for block in scorer.blocks}
    assert [set(band.reuse_errors) for band in found.bands] == [set(), names], "none at first"
    assert min(found.bands[1].reuse_errors.values()) > 0.0
    assert found.bands[0] != found.bands[1]
    assert Survey.from_dict(found.to_dict()) == found


@pytest.mark.parametrize("importance", ["magnitude", "reconstruction"])
def test_rankings_are_by_the_importance_that_was_asked_for(
    scorer: TileScorer, runner: TileRunner, importance: Importance
) -> None:
    found = scorer.survey(SHORT, importance)
    network = runner.calibrator.network
    if importance == "magnitude":
        expected = ranking(magnitude(network))
    else:
        expected = ranking(reconstruction(network, runner.calibrator.moments(SHORT), [0]))
    (band,) = found.bands
    assert band.rankings == expected
    assert set(expected) == {block.name for block in BLOCKS}


@pytest.mark.slow
def test_errors_are_of_the_first_images_alone(runner: TileRunner) -> None:
    few, more, fewer = (
        CalibrationPlan(solver="ddim", times=(0.4, 0.0), num_images=count)
        for count in (SENSITIVITY_IMAGES, SENSITIVITY_IMAGES + 8, 8)
    )
    (found,), (wanted,), (other,) = map(runner.calibrator.sensitivities, (more, few, fewer))
    assert found.bodies == wanted.bodies
    assert found.bodies != other.bodies


def test_what_cannot_be_surveyed_is_refused(scorer: TileScorer) -> None:
    with pytest.raises(InvalidInput, match=r"add1.* asks for gradient"):
        scorer.survey(CalibrationPlan(solver="add1", times=(0.4, 0.0)), "magnitude")
    with pytest.raises(InvalidInput, match="importance='luck': unknown"):
        scorer.survey(SHORT, "luck")  # type: ignore[arg-type]
