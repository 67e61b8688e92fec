"""The journal over the store: an interrupted search resumes from it as from memory."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from evaluators.banks import Bank
from evaluators.score import Ask, Score
from fewstep.canonical import canonical_json
from fewstep.errors import Cancelled, Conflict, LeaseLost
from fewstep.status import EventKind
from search.driver import run_search
from search.journal import Journal, MemoryJournal
from search.stored_journal import StoredJournal
from space.candidate import Candidate
from store import evaluations, events, leases, scores, searches
from store.records import Lease, StoredScore
from tests.unit.search.analytic import AnalyticScorer, card, request_of
from tests.unit.store.examples import claim, submit

ASK = Ask(Candidate(solver="ddim", times=(0.9, 0.3, 0.0)), Bank("report", 2), 64)
SCORE = Score(fid=12.000000000000002, failure=None, calls=128)
QUICK: dict[str, object] = {
    "budget": 20_000, "fidelities": [64, 128], "num_finalists": 2, "report_images": 64,
    "report_sets": 2,
}  # fmt: skip
REQUEST = request_of(**QUICK)


def _record(journal: Journal, seq: int = 0, key: str = "k", score: Score = SCORE) -> None:
    journal.record(seq=seq, phase="report", ask=ASK, key=key, score=score, cached=False)


def _kinds(engine: Engine) -> list[EventKind]:
    return [event.kind for event in events.after(engine, 0)]


@pytest.fixture
def lease(store_engine: Engine) -> Lease:
    """A claimed search."""
    submit(store_engine)
    return claim(store_engine)


def test_what_is_recorded_is_known(store_engine: Engine, lease: Lease) -> None:
    journal = StoredJournal(store_engine, lease)
    failed = Score(fid=None, failure="3 of 64 images are not finite", calls=128)
    _record(journal, 0, "good")
    _record(journal, 1, "bad", failed)
    assert journal.known(["good", "bad", "other"]) == {"good": SCORE, "bad": failed}


def test_scores_of_other_searches_are_known_but_ones_own_come_first(
    store_engine: Engine, lease: Lease
) -> None:
    theirs = StoredScore(fid=11.0, failure=None, calls=128)
    for key in ("shared", "theirs"):
        scores.put(store_engine, key, theirs)
    journal = StoredJournal(store_engine, lease)
    _record(journal, 0, "shared")
    found = journal.known(["shared", "theirs"])
    assert found == {"shared": SCORE, "theirs": Score(fid=11.0, failure=None, calls=128)}


def test_a_replay_repeats_no_event_until_it_gets_further(
    store_engine: Engine, lease: Lease
) -> None:
    def tell(journal: StoredJournal, calls: int) -> None:
        journal.progress(phase="search", calls=calls, best_fid=1.5, message="m")

    first = StoredJournal(store_engine, lease)
    for seq in range(3):
        _record(first, seq, f"k{seq}")
    tell(first, 300)
    before = _kinds(store_engine)
    replay = StoredJournal(store_engine, lease)
    for seq in range(2):
        _record(replay, seq, f"k{seq}")
        tell(replay, 100 * seq)
    assert _kinds(store_engine) == before
    assert searches.show(store_engine, lease.search_id).calls_spent == 300
    _record(replay, 2, "k2")
    assert not replay.is_replaying
    _record(replay, 3, "k3")
    tell(replay, 400)
    assert _kinds(store_engine) == [*before, EventKind.EVALUATION, EventKind.PROGRESS]


def test_a_search_begun_with_other_numerics_does_not_resume(
    store_engine: Engine, lease: Lease
) -> None:
    _record(StoredJournal(store_engine, lease), 0, "old-torch")
    with pytest.raises(Conflict, match="other weights, code or numerics"):
        _record(StoredJournal(store_engine, lease), 0, "new-torch")


@pytest.mark.parametrize("act", ["check", "record", "progress", "replayed progress"])
def test_a_cancelled_or_lost_search_is_noticed_at_every_call(
    store_engine: Engine, lease: Lease, act: str
) -> None:
    if act == "replayed progress":
        _record(StoredJournal(store_engine, lease))
    journal = StoredJournal(store_engine, lease)

    def go_on() -> None:
        if act == "check":
            journal.check()
        elif act == "record":
            _record(journal)
        else:
            journal.progress(phase="search", calls=1, best_fid=None, message="m")

    leases.release(store_engine, lease)
    with pytest.raises(LeaseLost):
        go_on()
    searches.cancel(store_engine, lease.search_id)
    with pytest.raises(Cancelled):
        go_on()


class DyingJournal(StoredJournal):
    """Dies after so many rows, as a killed process would: what was recorded stays."""

    rows_left = 0

    def record(
        self, *, seq: int, phase: str, ask: Ask, key: str, score: Score, cached: bool
    ) -> None:
        if self.rows_left == 0:
            raise KeyboardInterrupt
        self.rows_left -= 1
        super().record(seq=seq, phase=phase, ask=ask, key=key, score=score, cached=cached)


@pytest.mark.parametrize("died_at", [0, 1, 30, -1])
def test_a_search_that_died_anywhere_resumes_to_the_same_table(
    store_engine: Engine, lease: Lease, died_at: int
) -> None:
    memory = MemoryJournal()
    expected = run_search(REQUEST, AnalyticScorer(), memory, card())
    num_rows = len(memory.evaluations)
    assert num_rows > 40
    dying = DyingJournal(store_engine, lease)
    dying.rows_left = died_at % num_rows
    with pytest.raises(KeyboardInterrupt):
        run_search(REQUEST, AnalyticScorer(), dying, card())
    resumed, scorer = StoredJournal(store_engine, lease), AnalyticScorer()
    result = run_search(REQUEST, scorer, resumed, card())
    assert canonical_json(result.schedule) == canonical_json(expected.schedule)
    assert canonical_json(result.report) == canonical_json(expected.report)
    rows = evaluations.list_page(store_engine, lease.search_id, limit=500).items
    assert [(row.seq, row.score_key, row.score.fid) for row in rows] == [
        (row.seq, row.key, row.score.fid) for row in memory.evaluations.values()
    ]
    assert len(scorer.computed) == num_rows - died_at % num_rows, "nothing is computed twice"
