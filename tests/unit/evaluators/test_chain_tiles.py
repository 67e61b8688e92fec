"""Tiles of chains: what is in them, that nothing else decides their images, and what they cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from evaluators.bank_draws import BankDraws
from evaluators.banks import Bank, NoiseBank
from evaluators.chain_tiles import AnySegment, ChainSegment, ChainTile, tiles_of
from evaluators.inline import InlineScorer
from evaluators.packing import Segment
from evaluators.score import Ask, Numerics, Task, calls_of
from evaluators.tasks import card_of, make_task
from evaluators.tile_runner import TileRunner, load_runner
from fewstep.errors import ChecksFailed, InvalidInput
from fewstep.mcmc.plan import ChainPlan
from fewstep.mcmc.posterior import ClassifierPosterior
from fewstep.networks.denoising import model_denoiser
from fewstep.networks.guides import noise_level_posterior
from fewstep.process import VPDiscrete
from fewstep.program import trace
from fewstep.schedule import Schedule
from fewstep.schedule_chains import LevelGuideSection
from space.candidate import Candidate
from tests.model_folder import write_model

SIZE = 32
PROCESS = VPDiscrete.linear()
BANK = Bank("search")
TIMES = (0.45, 0.3, 0.15, 0.05, 0.0)
PLAN = ChainPlan(eta=0.8, num_skip=2, chains=8, burn_in=2, start_calls=3)
WINDOWS = SIZE // PLAN.chains


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model root with a model that has a noise-level guide."""
    folder = tmp_path_factory.mktemp("chains")
    write_model(folder, has_level_guide=True)
    return folder


def task_of(root: Path, **fields: object) -> Task:
    numerics = Numerics(micro_batch=SIZE)
    return make_task(
        "file:random",
        numerics=numerics,
        has_chains=True,
        roots=[root],
        **fields,  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def runner(root: Path) -> TileRunner:
    return load_runner(task_of(root), roots=[root])


def candidate_of(solver: str = "dpm-solver++-2m", plan: ChainPlan = PLAN) -> Candidate:
    return Candidate(solver=solver, times=TIMES, chains=plan.pairs())


def tiles(start: int, stop: int, candidate: Candidate | None = None) -> list[ChainTile]:
    segment = ChainSegment(candidate or candidate_of(), BANK, start, stop)
    return [tile for tile in tiles_of([segment], SIZE) if isinstance(tile, ChainTile)]


def features(runner: TileRunner, wanted: Sequence[ChainTile]) -> np.ndarray:
    return np.concatenate([runner.features(tile) for tile in wanted])


ranges = st.tuples(st.booleans(), st.integers(0, 100), st.integers(0, 100))


@given(wanted=st.lists(ranges, max_size=8))
def test_every_image_is_in_one_tile_and_no_tile_crosses_a_block(
    wanted: list[tuple[bool, int, int]],
) -> None:
    program = trace(TIMES, process=PROCESS, solver="ddim")
    segments: list[AnySegment] = [
        ChainSegment(candidate_of(), BANK, start, start + count)
        if drawn
        else Segment(program, BANK, start, start + count)
        for drawn, start, count in wanted
    ]
    found: dict[int, list[int]] = defaultdict(list)
    for tile in tiles_of(segments, SIZE):
        parts = [(tile.work, tile.segment)] if isinstance(tile, ChainTile) else []
        if not isinstance(tile, ChainTile):
            parts += [(part.work, part.segment) for part in tile.parts]  # type: ignore[misc]
        else:
            inside = range(tile.block * SIZE, (tile.block + 1) * SIZE)
            assert {tile.segment.start, tile.segment.stop - 1} <= set(inside)
        assert tile.shares == tuple((work, segment.rows) for work, segment in parts)
        for work, segment in parts:
            found[work] += range(segment.start, segment.stop)
    expected = {w: list(range(s, s + n)) for w, (_, s, n) in enumerate(wanted) if n}
    assert dict(found) == expected


@pytest.mark.parametrize("solver", ["dpm-solver++-2m", "ddpm"])
def test_more_images_only_add_to_those_there_were(runner: TileRunner, solver: str) -> None:
    candidate = candidate_of(solver)
    whole = features(runner, tiles(0, 50, candidate))
    for start, stop in ((0, 20), (20, 50), (33, 41)):
        part = features(runner, tiles(start, stop, candidate))
        difference = abs(part - whole[start:stop]).max()
        assert difference == 0.0, (start, stop, difference)
    assert abs(whole[:SIZE][: 50 - SIZE] - whole[SIZE:]).max() > 0.0, "blocks share no numbers"


def test_scores_do_not_depend_on_threads_neighbours_or_what_was_kept(root: Path) -> None:
    task = task_of(root)
    plain = replace(candidate_of(), chains=())
    others = [candidate_of("heun"), plain, candidate_of(plan=replace(PLAN, num_skip=1))]
    asks = [Ask(candidate, BANK, 48) for candidate in (*others, candidate_of())]
    with closing(InlineScorer(task, roots=[root], slots=1)) as scorer:
        alone = scorer.score(asks[-1:], lambda *_: None)
        grown = scorer.score([replace(asks[-1], num_samples=80)], lambda *_: None)
    with closing(InlineScorer(task, roots=[root], slots=2)) as scorer:
        together = scorer.score(asks, lambda *_: None)
        at_once = scorer.score([replace(asks[-1], num_samples=80)], lambda *_: None)
    assert alone[0].fid is not None
    assert (together[-1], at_once) == (alone[0], grown)
    assert len({score.fid for score in together}) == len(asks)


def test_candidates_without_chains_score_as_without_a_level_guide(root: Path) -> None:
    ask = Ask(replace(candidate_of(), chains=()), BANK, 40)
    scores = []
    for task in (task_of(root), replace(task_of(root), level_guide=None)):
        with closing(InlineScorer(task, roots=[root])) as scorer:
            scores += scorer.score([ask], lambda *_: None)
    assert scores[0] == scores[1]


@dataclass
class Replayed:
    """Hands out a noise bank's numbers in the order in which the library asks for them."""

    bank: NoiseBank
    normals: Iterator[Tensor] = field(init=False)
    uniforms: Iterator[Tensor] = field(init=False)

    def __post_init__(self) -> None:
        stages = [("chain start", 0, 1), ("chain burn-in", 0, PLAN.burn_in)]
        stages += [("chain window", w * PLAN.chains, PLAN.num_skip) for w in range(WINDOWS)]
        drawn = [
            (draws.normal((PLAN.chains, 1, 8, 8)), draws.uniform(PLAN.chains))
            for stage, start, count in stages
            for draws in [BankDraws(self.bank, stage, start, PLAN.chains)]
            for _ in range(count)
        ]
        self.normals, self.uniforms = (iter(column) for column in zip(*drawn, strict=True))

    def normal(self, _shape: tuple[int, ...]) -> Tensor:
        return next(self.normals)

    def uniform(self, _count: int) -> Tensor:
        return next(self.uniforms)


def test_a_tile_holds_the_images_that_its_document_draws(runner: TileRunner, root: Path) -> None:
    card, candidate = card_of(runner.task, roots=[root]), candidate_of()
    bank = runner.task.noise_bank(BANK)
    with torch.inference_mode():
        images = runner.images(tiles(0, SIZE)[0])
    plain = Schedule.build(
        candidate.times,
        model=card.document_section(clip_denoised=runner.task.clip_denoised),
        solver=candidate.solver,
    )
    guide = LevelGuideSection(name="levels", sha256=card.guides["levels"]["sha256"])
    schedule = plain.with_chains(PLAN, guide=guide, images=SIZE)
    network, rhos = noise_level_posterior(card)
    labels = bank.labels(0, PLAN.chains)
    assert labels is not None
    result = schedule.sample_chains(
        model_denoiser(card, labels=torch.from_numpy(labels)),
        ClassifierPosterior(network, tuple(rhos.tolist())),
        torch.from_numpy(bank.noise(0, PLAN.chains)),
        count=SIZE,
        draws=Replayed(bank),
    )
    torch.testing.assert_close(images, result.samples, rtol=0.0, atol=2e-4)
    assert schedule.chains is not None
    assert result.calls.all_in_per_sample == schedule.chains.cost
    assert calls_of(runner.task, Ask(candidate, BANK, SIZE)) == result.calls.total


@dataclass
class Recording:
    """A network that notes the labels of each of its passes."""

    inner: TileRunner
    labels: list[list[int]] = field(default_factory=list)

    def __call__(self, x: Tensor, time: Tensor, labels: Tensor) -> Tensor:
        self.labels.append(labels.tolist())
        return self.inner.network(x, time, labels)


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_passes_are_those_that_are_charged_and_each_chain_keeps_its_class(
    root: Path, scale: float
) -> None:
    task = task_of(root, guidance_scale=scale)
    loaded = load_runner(task, roots=[root])
    recording = Recording(loaded)
    for tile in tiles(0, 2 * SIZE):
        replace(loaded, network=recording).features(tile)
    assert sum(map(len, recording.labels)) == calls_of(task, Ask(candidate_of(), BANK, 2 * SIZE))
    classes = [list(range(8)), [8, 9, 0, 1, 2, 3, 4, 5]]  # by chain, of both blocks
    allowed = [own * repeats for own in classes for repeats in (1, WINDOWS)]
    if scale != 1.0:
        allowed = [[*own, *[10] * len(own)] for own in allowed]
    assert {tuple(sorted(labels)) for labels in recording.labels} == {
        tuple(sorted(own)) for own in allowed
    }


def test_draws_are_by_stage_image_and_number(runner: TileRunner) -> None:
    bank = runner.task.noise_bank(BANK)
    wide, later = BankDraws(bank, "chain window", 0, 16), BankDraws(bank, "chain window", 8, 8)
    for _ in range(3):
        assert torch.equal(wide.normal((16, 1, 8, 8))[8:], later.normal((8, 1, 8, 8)))
        u = wide.uniform(16)
        assert torch.equal(u[8:], later.uniform(8))
        assert 0.0 < float(u.min()) < float(u.max()) < 1.0
    term = BankDraws(bank, "term", 4, 2).normal((2, 1, 8, 8))
    assert torch.equal(term.float(), torch.from_numpy(bank.noise(4, 6, term=0)))


def test_without_a_level_guide_chains_are_the_candidate_s_failure(root: Path) -> None:
    without = replace(task_of(root), level_guide=None)
    with closing(InlineScorer(without, roots=[root])) as scorer:
        (score,) = scorer.score([Ask(candidate_of(), BANK, 40)], lambda *_: None)
    assert "no noise-level guide" in str(score.failure)


def test_chains_that_cannot_share_a_block_out_have_no_price(root: Path) -> None:
    ask = Ask(candidate_of(plan=replace(PLAN, chains=24)), BANK, 40)
    with pytest.raises(InvalidInput, match="divisors of 32") as caught:
        calls_of(task_of(root), ask)
    assert caught.value.field == "dlg.chains"


def test_a_task_pins_the_level_guide_and_models_without_one_are_refused(
    root: Path, tmp_path: Path
) -> None:
    task = task_of(root)
    assert task.level_guide is not None
    other = replace(task, level_guide=replace(task.level_guide, sha256="0" * 64))
    with pytest.raises(ChecksFailed, match="noise-level guide"):
        card_of(other, roots=[root])
    write_model(tmp_path)
    with pytest.raises(InvalidInput, match="no noise-level guide") as caught:
        task_of(tmp_path)
    assert caught.value.field == "dlg"
