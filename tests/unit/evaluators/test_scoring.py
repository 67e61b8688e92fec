"""Scoring: ask order, failures that stay alone, features kept, exceptions of the caller."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from evaluators.banks import Bank, FloatArray
from evaluators.chain_tiles import AnyTile
from evaluators.fidelity import torch_fidelity_fid
from evaluators.inline import InlineExecutor, InlineScorer
from evaluators.packing import Part, Segment, Tile
from evaluators.questions import Answer, Question
from evaluators.score import Ask, Score, Task
from evaluators.scoring import CACHE_BYTES, TileScorer
from evaluators.tasks import process_of, reference_of
from evaluators.tile_runner import TileRunner
from fewstep.denoisers.class_conditional import ConditionalNetwork
from fewstep.errors import Cancelled, ScoringFailed
from fewstep.process import VPDiscrete
from fewstep.program import trace
from space.candidate import Candidate

PROCESS = VPDiscrete.linear()
BANK = Bank("search")
GOOD = (
    Candidate(solver="ddim", times=(1.0, 0.5, 0.0)),
    Candidate(solver="ddim", times=(0.7, 0.2, 0.0)),
    Candidate(solver="dpm-solver++-2m", times=(1.0, 0.6, 0.2, 0.0)),
)
# A second-order step a thousand times as long as the one before it, from which it extrapolates.
WILD = Candidate(solver="dpm-solver++-2m", times=(1.0, 0.999, 0.002, 0.0))


class Counting:
    """An executor that counts what it passes on to another, and what was taken of its results."""

    def __init__(self, inner: InlineExecutor) -> None:
        self.inner = inner
        self.rows: list[int] = []
        self.taken = 0

    def run(self, tiles: Sequence[AnyTile]) -> Generator[FloatArray, None, None]:
        self.rows.extend(tile.rows for tile in tiles)
        for features in self.inner.run(tiles):
            self.taken += 1
            yield features

    def ask(self, question: Question[Answer]) -> Answer:
        return self.inner.ask(question)

    def close(self) -> None:
        self.inner.close()


@pytest.fixture
def counting(runner: TileRunner) -> Generator[Counting, None, None]:
    with closing(Counting(InlineExecutor(runner, slots=1))) as opened:
        yield opened


def scorer_over(
    executor: Counting, task: Task, root: Path, *, cache_bytes: int = CACHE_BYTES
) -> TileScorer:
    return TileScorer(
        task,
        executor,
        process=process_of(task, roots=[root]),
        reference=reference_of(task, roots=[root]).gaussian,
        cache_bytes=cache_bytes,
    )


def score(scorer: TileScorer, asks: Sequence[Ask]) -> list[Score]:
    return scorer.score(asks, lambda _position, _score: None)


def test_a_score_is_torch_fidelity_s_distance_of_the_bank_s_images(
    scorer: InlineScorer, runner: TileRunner, task: Task, root: Path
) -> None:
    program = trace(GOOD[0].times, process=PROCESS, solver="ddim")
    ranges = [(0, 32), (32, 64), (64, 90)]
    tiles = [Tile((Part(0, Segment(program, BANK, *rows)),)) for rows in ranges]
    features = np.concatenate([runner.features(tile) for tile in tiles])
    expected = torch_fidelity_fid(features, reference_of(task, roots=[root]).gaussian)
    (found,) = score(scorer, [Ask(GOOD[0], BANK, 90)])
    assert found.fid == pytest.approx(expected, rel=1e-6)
    assert found.calls == 90 * 2


def test_scores_come_in_ask_order_each_once(scorer: InlineScorer) -> None:
    asks = [Ask(candidate, BANK, num) for num in (40, 16) for candidate in GOOD]
    seen: list[tuple[int, Score]] = []
    scores = scorer.score(asks, lambda position, found: seen.append((position, found)))
    assert seen == list(enumerate(scores))
    assert len({found.fid for found in scores}) == len(asks)


def test_a_score_is_told_as_soon_as_its_own_tiles_are_there(
    counting: Counting, task: Task, root: Path
) -> None:
    taken: list[int] = []
    asks = [Ask(candidate, BANK, num) for num in (64, 96) for candidate in GOOD[:2]]
    scorer = scorer_over(counting, task, root)
    scorer.score(asks, lambda _position, _score: taken.append(counting.taken))
    assert taken == [2, 4, 5, 6]


def test_a_score_does_not_depend_on_what_is_asked_beside_it(task: Task, root: Path) -> None:
    asks = [Ask(candidate, BANK, 50) for candidate in GOOD]
    with closing(InlineScorer(task, roots=[root])) as scorer:
        together = score(scorer, asks)
    for ask, expected in zip(asks, together, strict=True):
        with closing(InlineScorer(task, roots=[root])) as scorer:
            assert score(scorer, [ask]) == [expected]


def test_more_images_of_a_candidate_cost_only_the_new_ones_and_change_nothing(
    counting: Counting, task: Task, root: Path
) -> None:
    scorer = scorer_over(counting, task, root)
    small, large = Ask(GOOD[0], BANK, 40), Ask(GOOD[0], BANK, 100)
    grown = [*score(scorer, [small]), *score(scorer, [large]), *score(scorer, [small])]
    assert sum(counting.rows) == 100
    fresh = scorer_over(counting, task, root)
    assert score(fresh, [small, large, small]) == grown
    assert sum(counting.rows) == 200


def test_without_a_cache_scores_are_the_same_and_cost_more(
    counting: Counting, task: Task, root: Path
) -> None:
    asks = [Ask(GOOD[0], BANK, 40), Ask(GOOD[1], BANK, 30)]
    kept, forgetful = (scorer_over(counting, task, root, cache_bytes=n) for n in (2**20, 0))
    expected = [score(kept, asks), score(kept, asks)]
    assert sum(counting.rows) == 70
    assert [score(forgetful, asks), score(forgetful, asks)] == expected
    assert sum(counting.rows) == 70 + 140


def test_banks_and_sets_are_scored_on_their_own_images(scorer: InlineScorer) -> None:
    banks = [BANK, Bank("selection"), Bank("report"), Bank("report", 1)]
    scores = score(scorer, [Ask(GOOD[0], bank, 64) for bank in banks])
    assert len({found.fid for found in scores}) == len(banks)


def test_an_ill_conditioned_candidate_fails_before_any_call_and_alone(
    counting: Counting, task: Task, root: Path
) -> None:
    scorer = scorer_over(counting, task, root)
    asks = [Ask(WILD, BANK, 32), Ask(GOOD[0], BANK, 32)]
    wild, good = score(scorer, asks)
    assert wild.fid is None
    assert wild.failure is not None
    assert wild.failure.startswith("condition ")
    assert "above 100" in wild.failure
    assert wild.calls == 32 * 3
    assert counting.rows == [32]
    assert [good] == score(scorer_over(counting, task, root), asks[1:])


def test_a_grid_that_the_process_does_not_have_fails_with_its_reason(
    scorer: InlineScorer,
) -> None:
    late = Candidate(solver="ddim", times=(1.5, 0.5, 0.0))
    failed, good = score(scorer, [Ask(late, BANK, 32), Ask(GOOD[0], BANK, 32)])
    assert failed.failure is not None
    assert "times[0]=1.5" in failed.failure
    assert failed.calls == 64
    assert good.fid is not None


def test_images_that_are_not_finite_fail_their_candidate_alone(
    task: Task, runner: TileRunner, root: Path
) -> None:
    broken = replace(runner, network=_explodes_at_full_noise(runner.network))
    asks = [Ask(GOOD[1], BANK, 40), Ask(GOOD[0], BANK, 40), Ask(GOOD[1], BANK, 64)]
    with closing(Counting(InlineExecutor(broken, slots=2))) as executor:
        found = score(scorer_over(executor, task, root), asks)
    with closing(Counting(InlineExecutor(runner, slots=1))) as executor:
        expected = score(scorer_over(executor, task, root), asks)
    assert [found[0], found[2]] == [expected[0], expected[2]]
    assert found[1] == Score(None, "40 of 40 images are not finite", 80)


def test_what_the_caller_raises_ends_the_call_and_the_scorer_works_on(
    scorer: InlineScorer,
) -> None:
    asks = [Ask(candidate, BANK, 70) for candidate in GOOD]
    seen: list[int] = []

    def cancel_after_two(position: int, _score: Score) -> None:
        seen.append(position)
        if position == 1:
            raise Cancelled("the search was cancelled")

    with pytest.raises(Cancelled):
        scorer.score(asks, cancel_after_two)
    assert seen == [0, 1]
    assert all(found.fid is not None for found in score(scorer, asks))


def test_a_failure_of_our_own_is_no_candidate_s_failure(
    task: Task, runner: TileRunner, root: Path
) -> None:
    broken = replace(runner, null_label=None, task=replace(task, guidance_scale=2.0))
    with (
        closing(Counting(InlineExecutor(broken, slots=1))) as executor,
        pytest.raises(ScoringFailed, match=r"tile 0 failed: guidance_scale=2\.0"),
    ):
        score(scorer_over(executor, task, root), [Ask(GOOD[0], BANK, 16)])


def test_nothing_asked_is_nothing_answered(scorer: InlineScorer) -> None:
    assert score(scorer, []) == []


def _explodes_at_full_noise(network: ConditionalNetwork) -> ConditionalNetwork:
    """A network whose predictions are NaN where it is asked about the noisiest level."""

    def exploding(x: Tensor, time: Tensor, labels: Tensor) -> Tensor:
        is_noisiest = (time > 998.5).view(-1, 1, 1, 1)
        return network(x, time, labels).masked_fill(is_noisiest, float("nan"))

    return exploding
