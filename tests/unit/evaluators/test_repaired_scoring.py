"""Scoring repaired networks: what is scored is what the published file holds, wherever it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from evaluators.banks import Bank
from evaluators.chain_tiles import AnyTile
from evaluators.features import load_extractor, to_uint8
from evaluators.frechet import frechet_distance
from evaluators.inline import InlineExecutor, InlineScorer
from evaluators.packing import Segment, pack
from evaluators.pruned_networks import KEPT_ARCHITECTURES, PrunedNetworks
from evaluators.questions import RepairQuestion
from evaluators.score import Ask, Numerics, Score, Task, score_key
from evaluators.scoring import TileScorer
from evaluators.tasks import blocks_of, make_task, process_of, reference_of
from evaluators.tile_runner import TileRunner, load_runner
from fewstep.errors import InvalidInput, ScoringFailed
from fewstep.networks.denoising import model_denoiser
from fewstep.networks.models import load_network
from fewstep.networks.pruning.architecture import REPAIRS, Architecture, Repair
from fewstep.networks.pruning.assembling import networks_of
from fewstep.networks.pruning.calibration_plan import CalibrationPlan
from fewstep.networks.pruning.configuration import BlockChoice, NetworkConfiguration
from fewstep.networks.pruning.repair import load_repair
from fewstep.program import trace
from fewstep.running import run
from space.candidate import Candidate
from tests.model_folder import write_model
from tests.unit.evaluators.repairs import (
    CARD,
    FULL,
    MODEL,
    RESIDUAL,
    REUSING,
    SHORT,
    THIN,
    TIMES,
    architecture,
    candidate,
)

BANK = Bank("search")
NUM_IMAGES = 16
STEPS = [(FULL, THIN), (THIN, SHORT), (FULL, REUSING)]


@pytest.fixture(scope="module")
def task() -> Task:
    return make_task(MODEL, numerics=Numerics(micro_batch=16))


@pytest.fixture(scope="module")
def runner(task: Task) -> TileRunner:
    return load_runner(task)


@pytest.fixture
def scorer(task: Task, runner: TileRunner) -> Iterator[TileScorer]:
    with closing(_scorer(task, InlineExecutor(runner, slots=1))) as opened:
        yield opened


def _scorer(task: Task, executor: InlineExecutor) -> TileScorer:
    reference = reference_of(task).gaussian
    return TileScorer(
        task, executor, process=process_of(task), reference=reference, blocks=blocks_of(task)
    )


def _score(scorer: TileScorer, *candidates: Candidate) -> list[Score]:
    asks = [Ask(each, BANK, NUM_IMAGES) for each in candidates]
    return scorer.score(asks, lambda _position, _score: None)


@torch.inference_mode()
def _images_from_file(content: bytes, run_by: Architecture, folder: Path) -> torch.Tensor:
    """Images of networks that only the artifact and the model's own weights went into."""
    path = folder / "repair.safetensors"
    path.write_bytes(content)
    networks = networks_of(load_network(CARD), run_by, load_repair(path))
    bank = make_task(MODEL).noise_bank(BANK)
    labels = bank.labels(0, NUM_IMAGES)
    assert labels is not None
    denoisers = [
        model_denoiser(CARD, labels=torch.from_numpy(labels), network=each) for each in networks
    ]
    program = trace(TIMES, process=CARD.make_process(), solver="ddim")
    start = torch.from_numpy(bank.noise(0, NUM_IMAGES))
    return run(program.with_networks(TIMES, run_by.of_step), denoisers, start)


def _tile(run_by: Architecture | None) -> AnyTile:
    program = trace(TIMES, process=CARD.make_process(), solver="ddim")
    if run_by is not None:
        program = program.with_networks(TIMES, run_by.of_step)
    (tile,) = pack([Segment(program, BANK, 0, NUM_IMAGES, run_by)], 16)
    return tile


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("repair", ["bias", "ridge"])
def test_scores_are_those_of_networks_rebuilt_from_the_published_file(
    scorer: TileScorer,
    runner: TileRunner,
    task: Task,
    tmp_path: Path,
    steps: tuple[NetworkConfiguration, ...],
    repair: Repair,
) -> None:
    repaired = architecture(*steps, repair=repair)
    (found,) = _score(scorer, candidate(repaired))
    images = _images_from_file(scorer.repaired(repaired), repaired, tmp_path)
    with torch.inference_mode():
        assert torch.equal(runner.images(_tile(repaired)), images)
        features = load_extractor(CARD.extractor).features(to_uint8(images)).numpy()
    assert found.fid == frechet_distance(features, reference_of(task).gaussian)


def test_every_worker_finds_the_same_bytes_and_repairs_differ(task: Task) -> None:
    asked = [architecture(FULL, THIN, repair=repair) for repair in ("bias", "ridge")]
    found = []
    for slots, order in ((1, asked), (2, asked[::-1])):
        with closing(InlineScorer(task, slots=slots)) as scorer:
            _score(scorer, *[candidate(each) for each in order])
            found.append([scorer.repaired(each) for each in asked])
    assert found[0] == found[1]
    assert len(set(found[0])) == 2


def test_slots_and_neighbours_do_not_change_repaired_scores(task: Task, scorer: TileScorer) -> None:
    candidates = [
        candidate(architecture(FULL, THIN)),
        candidate(architecture(FULL, THIN, repair="none")),
        candidate(architecture(THIN, SHORT, repair="bias")),
        candidate(architecture(FULL, REUSING)),
    ]
    with closing(InlineScorer(task, slots=2)) as two:
        together = _score(two, *candidates)
    assert together == [_score(scorer, each)[0] for each in candidates]
    assert len({found.fid for found in together}) == len(candidates)


@torch.inference_mode()
def test_a_repair_brings_images_back_towards_the_full_network_s(runner: TileRunner) -> None:
    cut = NetworkConfiguration.of(
        {name: BlockChoice("groups", (0, 1, 2, 3, 4)) for name in RESIDUAL[1:5]}
    )
    plan = CalibrationPlan(solver="ddim", times=TIMES, num_images=32)
    full = runner.images(_tile(None))
    runs = {each: architecture(cut, cut, repair=each, plan=plan) for each in REPAIRS}
    errors = {
        repair: float((runner.images(_tile(run_by)) - full).square().mean())
        for repair, run_by in runs.items()
    }
    assert errors["ridge"] < 0.7 * errors["none"], errors
    assert errors["bias"] < errors["none"], errors


def test_three_repaired_configurations_share_what_is_whole(runner: TileRunner) -> None:
    other = NetworkConfiguration.of({RESIDUAL[4]: BlockChoice("groups", (0, 1, 2, 5))})
    times = (0.6, 0.4, 0.2, 0.0)
    plan = CalibrationPlan(solver="ddim", times=times, num_images=8)
    three = Architecture.of_steps([THIN, SHORT, other], repair="ridge", calibration=plan)
    full = runner.calibrator.network
    alone, together = _stored_bytes(full), _stored_bytes(full, *runner.pruned.of(three))
    assert alone < together < 2 * alone, (alone, together)


def test_repaired_networks_are_kept_up_to_a_number_and_come_back_as_they_were(
    runner: TileRunner,
) -> None:
    networks = PrunedNetworks(runner.calibrator)
    some = [
        architecture(
            NetworkConfiguration.of({RESIDUAL[1]: BlockChoice("groups", tuple(range(count)))}),
            FULL,
            repair=repair,
        )
        for repair in ("bias", "ridge")
        for count in range(1, 2 + KEPT_ARCHITECTURES // 2)
    ][: KEPT_ARCHITECTURES + 1]
    first = networks.of(some[0])[0]
    files = [networks.repair_of(each) for each in some]
    assert networks.of(some[-1])[0] is networks.of(some[-1])[0]
    assert networks.of(some[0])[0] is not first
    assert networks.repair_of(some[0]) == files[0]
    assert len(set(files)) == KEPT_ARCHITECTURES + 1


@pytest.mark.parametrize(
    ("calibration", "reason"),
    [
        (
            CalibrationPlan(solver="add1", times=TIMES, num_images=8),
            "'add1': asks for gradient, which guidance 'none' does not answer",
        ),
        (CalibrationPlan(solver="ddim", times=(1.5, 0.2, 0.0)), "times[0]=1.5"),
    ],
)
def test_a_calibration_that_cannot_be_run_fails_its_candidate_alone(
    scorer: TileScorer, calibration: CalibrationPlan, reason: str
) -> None:
    bad = candidate(architecture(FULL, THIN, plan=calibration))
    failed, good = _score(scorer, bad, candidate(architecture(FULL, THIN)))
    assert failed.failure is not None
    assert reason in failed.failure
    assert good.fid is not None


def test_an_architecture_of_other_blocks_fails_alone_and_publishes_nothing(
    scorer: TileScorer,
) -> None:
    alien = architecture(FULL, NetworkConfiguration.of({"nowhere.0": BlockChoice("removed")}))
    (failed,) = _score(scorer, candidate(alien))
    assert failed.failure is not None
    assert "nowhere.0=unknown block" in failed.failure
    with pytest.raises(InvalidInput, match="unknown block"):
        scorer.repaired(alien)
    with pytest.raises(InvalidInput, match=r"repair='none': there is nothing to repair"):
        scorer.repaired(architecture(FULL, THIN, repair="none"))


def test_a_model_without_classes_is_repaired_surveyed_and_timed_too(tmp_path: Path) -> None:
    model = write_model(tmp_path, is_conditional=False)
    task = make_task(model, numerics=Numerics(micro_batch=16), roots=[tmp_path])
    plan = CalibrationPlan(solver="ddim", times=TIMES, num_images=2)
    with closing(InlineScorer(task, roots=[tmp_path])) as scorer:
        (found,) = _score(scorer, candidate(architecture(THIN, THIN, plan=plan)))
        assert found.fid is not None
        assert len(scorer.survey(plan, "reconstruction", "ridge").bands) == 2
        assert scorer.seconds([THIN])[0] > 0.0


def test_an_answer_that_fails_is_no_candidate_s_failure(runner: TileRunner) -> None:
    alien = architecture(FULL, NetworkConfiguration.of({"nowhere.0": BlockChoice("removed")}))
    with (
        closing(InlineExecutor(runner, slots=1)) as executor,
        pytest.raises(ScoringFailed, match=r"the answer failed: .*unknown block"),
    ):
        executor.ask(RepairQuestion(alien))


def test_the_key_of_a_score_tells_calibrations_apart(task: Task) -> None:
    other = CalibrationPlan(solver="ddim", times=TIMES, num_images=17)
    runs = [architecture(FULL, THIN, repair=repair) for repair in ("none", "bias", "ridge")]
    keys = {
        score_key(task, Ask(candidate(each), BANK, 64))
        for each in (*runs, architecture(FULL, THIN, plan=other))
    }
    assert len(keys) == 4


def _stored_bytes(*networks: nn.Module) -> int:
    """Bytes of all storages that the networks' tensors lie in, each counted once."""
    sizes = {}
    for network in networks:
        for tensor in (*network.parameters(), *network.buffers()):
            storage = tensor.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
    return int(np.sum(list(sizes.values())))
