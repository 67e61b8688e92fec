"""Surveys: rankings by what was asked for, errors of the output at the middle of every band."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from scipy.stats import spearmanr

from evaluators.calibrating import PROBE_IMAGES
from evaluators.inline import InlineExecutor
from evaluators.score import Numerics, Task
from evaluators.scoring import TileScorer
from evaluators.tasks import blocks_of, make_task, process_of, reference_of
from evaluators.tile_runner import TileRunner, load_runner
from fewstep.errors import InvalidInput
from fewstep.networks.pruning.calibration_plan import CalibrationPlan
from fewstep.networks.pruning.configuration import NetworkConfiguration
from fewstep.networks.pruning.importance import magnitude, ranking, reconstruction
from fewstep.networks.pruning.slicing import sliced
from space.architecture_ladders import ladders_of
from space.survey import BandSurvey, Importance, Survey
from tests.unit.evaluators.repairs import BLOCKS, MODEL

PLAN = CalibrationPlan(solver="ddim", times=(0.6, 0.2, 0.0), num_images=4)
LONG = CalibrationPlan(
    solver="dpm-solver++-2m", times=(1.0, 0.79, 0.49, 0.14, 0.02, 0.001, 0.0), num_images=16
)
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


def test_every_width_and_body_of_every_block_is_measured_in_every_band(
    scorer: TileScorer,
) -> None:
    found = scorer.survey(PLAN, "sensitivity", "ridge")
    assert len(found.bands) == 2
    for band in found.bands:
        for ladder in ladders_of(scorer.blocks):
            name = ladder.block.name
            assert sorted(band.rankings[name]) == list(range(ladder.block.units))
            assert tuple(band.kept_errors[name]) == ladder.units[1:]
            assert min(band.kept_errors[name].values()) > 0.0
            assert band.body_errors[name] > 0.0
    names = {block.name for block in scorer.blocks}
    assert [set(band.reuse_errors) for band in found.bands] == [set(), names], "none at first"
    assert min(found.bands[1].reuse_errors.values()) > 0.0
    assert found.bands[0] != found.bands[1]
    assert Survey.from_dict(found.to_dict()) == found


@pytest.mark.slow
def test_errors_order_cuts_of_all_bands_as_changes_of_final_images_do(
    scorer: TileScorer, runner: TileRunner
) -> None:
    found = scorer.survey(LONG, "reconstruction", "none")
    network, probes = runner.calibrator.network, runner.calibrator.probes(LONG)
    assert runner.calibrator.final_change(LONG, 0, network) == 0.0
    errors, of_output, of_images = [], [], []
    for band, measured in enumerate(found.bands):
        for ladder in ladders_of(scorer.blocks):
            name = ladder.block.name
            choice = ladder.choice(1, measured.rankings[name])
            cut = sliced(network, NetworkConfiguration.of({name: choice}))
            final = runner.calibrator.final_change(LONG, band, cut)
            of_images.append(final / LONG.band_of_step.count(band))
            of_output.append(probes[band].change(cut))
            errors.append(measured.kept_errors[name][ladder.units[1]])
    assert spearmanr(errors, of_images).statistic > 0.75
    assert spearmanr(of_output, of_images).statistic < 0.5, "which is what gains are for"


def test_repair_makes_cuts_cheaper(scorer: TileScorer) -> None:
    plain, refitted = (scorer.survey(PLAN, "magnitude", repair) for repair in ("none", "ridge"))
    assert [band.rankings for band in plain.bands] == [band.rankings for band in refitted.bands]
    for before, after in zip(plain.bands, refitted.bands, strict=True):
        assert before.reuse_errors.keys() == after.reuse_errors.keys()
        most = [after.kept_errors[n][k] < e for n, k, e in _cuts(before)]
        assert sum(most) > 0.75 * len(most)


def _cuts(band: BandSurvey) -> list[tuple[str, int, float]]:
    return [(n, kept, e) for n, errors in band.kept_errors.items() for kept, e in errors.items()]


@pytest.mark.parametrize("importance", ["magnitude", "reconstruction"])
def test_rankings_are_by_the_importance_that_was_asked_for(
    scorer: TileScorer, runner: TileRunner, importance: Importance
) -> None:
    found = scorer.survey(SHORT, importance, "none")
    network = runner.calibrator.network
    if importance == "magnitude":
        expected = ranking(magnitude(network))
    else:
        expected = ranking(reconstruction(network, runner.calibrator.moments(SHORT), [0]))
    (band,) = found.bands
    assert band.rankings == expected
    assert set(expected) == {block.name for block in BLOCKS}


def test_errors_are_of_the_first_images_alone(runner: TileRunner) -> None:
    few, more, fewer = (
        CalibrationPlan(solver="ddim", times=(0.4, 0.0), num_images=count)
        for count in (PROBE_IMAGES, PROBE_IMAGES + 8, 8)
    )
    (found,), (wanted,), (other,) = map(runner.calibrator.probes, (more, few, fewer))
    assert found.full.equal(wanted.full)
    assert len(other.full) < len(found.full)


def test_what_cannot_be_surveyed_is_refused(scorer: TileScorer) -> None:
    with pytest.raises(InvalidInput, match=r"add1.* asks for gradient"):
        scorer.survey(CalibrationPlan(solver="add1", times=(0.4, 0.0)), "magnitude", "none")
    with pytest.raises(InvalidInput, match="importance='luck': unknown"):
        scorer.survey(SHORT, "luck", "none")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="repair='glue': unknown; allowed: none, bias, ridge"):
        scorer.survey(SHORT, "magnitude", "glue")  # type: ignore[arg-type]
