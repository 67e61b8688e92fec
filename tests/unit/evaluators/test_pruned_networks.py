"""Scoring pruned networks: what a tile runs is what the sliced networks give by themselves."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest
import torch

from evaluators.banks import Bank, NoiseBank
from evaluators.features import load_extractor, to_uint8
from evaluators.inline import InlineScorer
from evaluators.packing import Segment, pack
from evaluators.score import Ask, Numerics, Task, score_key
from evaluators.tasks import make_task
from evaluators.tile_runner import load_runner
from fewstep.errors import InvalidInput
from fewstep.networks.denoising import model_denoiser
from fewstep.networks.models import load_network, resolve
from fewstep.networks.pruning.architecture import Architecture
from fewstep.networks.pruning.blocks import adm_blocks
from fewstep.networks.pruning.cache import BodyCache
from fewstep.networks.pruning.configuration import BlockChoice, NetworkConfiguration
from fewstep.networks.pruning.slicing import sliced
from fewstep.program import trace
from fewstep.running import run
from space.candidate import Candidate

MODEL = "zoo:digits"
BANK = Bank("search")
TIMES = (0.7, 0.4, 0.1, 0.0)
BLOCKS = adm_blocks(resolve(MODEL).unet_config())
RESIDUAL = [block for block in BLOCKS if block.kind == "residual"]
FULL = NetworkConfiguration()
THIN = NetworkConfiguration.of(
    {block.name: BlockChoice("groups", (0, 1, 2, 4, 6, 7)) for block in RESIDUAL[1:4]}
)
REUSING = NetworkConfiguration.of({RESIDUAL[2].name: BlockChoice("reused")})
NUM_IMAGES = 40


@pytest.fixture(scope="module")
def task() -> Task:
    return make_task(MODEL, numerics=Numerics(micro_batch=32))


def _candidate(*configurations: NetworkConfiguration) -> Candidate:
    return Candidate(solver="ddim", times=TIMES, architecture=Architecture.of_steps(configurations))


def _score(task: Task, *candidates: Candidate, slots: int = 1) -> list[float | None]:
    asks = [Ask(candidate, BANK, NUM_IMAGES) for candidate in candidates]
    with closing(InlineScorer(task, slots=slots)) as scorer:
        return [score.fid for score in scorer.score(asks, lambda _position, _score: None)]


@pytest.mark.parametrize("steps", [(FULL, THIN, THIN), (THIN, FULL, THIN), (FULL, REUSING, THIN)])
@torch.inference_mode()
def test_features_are_those_of_the_sliced_networks_run_alone(
    task: Task, steps: tuple[NetworkConfiguration, ...]
) -> None:
    card = resolve(MODEL)
    network, architecture = load_network(card), Architecture.of_steps(steps)
    cache = BodyCache.between(architecture.configurations)
    networks = [
        sliced(network, configuration, cache=cache) for configuration in architecture.configurations
    ]
    bank = NoiseBank(card.image_shape, card.num_classes, BANK)
    labels = bank.labels(0, 32)
    assert labels is not None
    denoisers = [
        model_denoiser(card, labels=torch.from_numpy(labels), network=each) for each in networks
    ]
    program = trace(TIMES, process=card.make_process(), solver="ddim")
    program = program.with_networks(TIMES, architecture.of_step)
    images = run(program, denoisers, torch.from_numpy(bank.noise(0, 32)))
    wanted = load_extractor(card.extractor).features(to_uint8(images)).numpy()
    (tile,) = pack([Segment(program, BANK, 0, 32, architecture)], 32)
    assert np.array_equal(load_runner(task).features(tile), wanted)


def test_scores_do_not_depend_on_slots_or_neighbours(task: Task) -> None:
    candidates = [
        _candidate(FULL, THIN, THIN),
        Candidate(solver="ddim", times=TIMES),
        _candidate(FULL, REUSING, FULL),
        _candidate(THIN, THIN, THIN),
    ]
    together = _score(task, *candidates, slots=2)
    assert together == [_score(task, candidate)[0] for candidate in candidates]
    assert len(set(together)) == len(candidates)


def test_architectures_share_no_tile_but_schedules_of_one_do() -> None:
    process = resolve(MODEL).make_process()
    thin, full = Architecture.of_steps([THIN] * 3), Architecture.of_steps([FULL, FULL, THIN])
    plain = trace(TIMES, process=process, solver="ddim")
    other = trace((0.8, 0.3, 0.1, 0.0), process=process, solver="ddim")
    tiles = pack(
        [
            Segment(plain, BANK, 0, 8, thin),
            Segment(plain, BANK, 0, 8),
            Segment(other, BANK, 0, 8, thin),
            Segment(plain.with_networks(TIMES, full.of_step), BANK, 0, 8, full),
        ],
        32,
    )
    assert sorted([part.work for part in tile.parts] for tile in tiles) == [[0, 2], [1], [3]]


def test_the_key_of_a_score_tells_architectures_apart(task: Task) -> None:
    plain = Candidate(solver="ddim", times=TIMES)
    keys = {
        score_key(task, Ask(candidate, BANK, 64))
        for candidate in (plain, _candidate(FULL, THIN, THIN), _candidate(THIN, FULL, THIN))
    }
    assert len(keys) == 3


def test_networks_are_kept_and_bodies_are_not_shared(task: Task) -> None:
    networks = load_runner(task).pruned
    thin = Architecture.of_steps([THIN, FULL])
    assert networks.of(thin)[0] is networks.of(thin)[0]
    reusing = Architecture.of_steps([FULL, REUSING])
    assert networks.of(reusing)[0] is not networks.of(reusing)[0]


def test_an_architecture_for_other_blocks_fails_alone(task: Task) -> None:
    alien = NetworkConfiguration.of({"nowhere.0": BlockChoice("removed")})
    candidates = [_candidate(alien, FULL, FULL), _candidate(THIN, FULL, FULL)]
    failed, scored = _score(task, *candidates)
    assert failed is None
    assert scored is not None


def test_candidates_hold_architectures_against_their_steps() -> None:
    with pytest.raises(InvalidInput, match=r"architecture\.of_step: 2 entries for 3 steps"):
        _candidate(FULL, THIN)


def test_candidates_with_architectures_read_back_as_they_were() -> None:
    candidate = _candidate(FULL, THIN, THIN)
    again = Candidate.from_dict(candidate.canonical())
    assert again == candidate
    assert again.key == candidate.key != Candidate(solver="ddim", times=TIMES).key
