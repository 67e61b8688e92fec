"""Scores, evaluations and events: stored together, once, in order; on SQLite and on Postgres."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from fewstep.errors import Conflict, InvalidInput, NotFound
from fewstep.status import EventKind
from store import cursor, evaluations, events, leases, schedules, scores, searches, teacher_checks
from store.records import StoredScore, TeacherCheck
from tests.unit.store.examples import claim, evaluation, new_schedule, submit

# Doubles that a detour over decimal text or float32 would change.
HARD_FLOATS = [0.1 + 0.2, 5e-324, 1.7976931348623157e308, 1 / 3, 12.000000000000002]


def test_the_first_score_stays(store_engine: Engine) -> None:
    first = StoredScore(fid=0.1 + 0.2, failure=None, calls=4)
    assert scores.put(store_engine, "k", first)
    assert not scores.put(store_engine, "k", StoredScore(fid=9.0, failure=None, calls=4))
    assert scores.known(store_engine, ["k", "unknown"]) == {"k": first}


def test_of_concurrent_scores_one_stays(store_engine: Engine) -> None:
    candidates = [StoredScore(fid=float(i), failure=None, calls=1) for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        stored = list(pool.map(lambda score: scores.put(store_engine, "k", score), candidates))
    assert stored.count(True) == 1
    assert scores.known(store_engine, ["k"])["k"] == candidates[stored.index(True)]


def test_thousands_of_keys_are_looked_up_at_once(store_engine: Engine) -> None:
    scores.put(store_engine, "k-39999", StoredScore(fid=None, failure="not finite", calls=4))
    found = scores.known(store_engine, [f"k-{i}" for i in range(40_000)])
    assert list(found) == ["k-39999"]
    assert scores.known(store_engine, []) == {}


@pytest.mark.parametrize("fid", HARD_FLOATS)
def test_distances_come_back_bit_by_bit(store_engine: Engine, fid: float) -> None:
    scores.put(store_engine, "k", StoredScore(fid=fid, failure=None, calls=4))
    assert scores.known(store_engine, ["k"])["k"].fid == fid


@pytest.mark.parametrize(("fid", "failure"), [(None, None), (1.0, "but failed")])
def test_a_score_is_a_distance_or_a_failure(fid: float | None, failure: str | None) -> None:
    with pytest.raises(ValueError, match="exactly one"):
        StoredScore(fid=fid, failure=failure, calls=1)


def test_an_evaluation_is_stored_with_its_score_and_its_event(store_engine: Engine) -> None:
    submit(store_engine)
    lease = claim(store_engine)
    new = evaluation(3, fid=12.000000000000002)
    assert evaluations.record(store_engine, lease, new)
    (stored,) = evaluations.list_page(store_engine, lease.search_id).items
    for name in type(new).__slots__:
        assert getattr(stored, name) == getattr(new, name)
    assert scores.known(store_engine, [new.score_key]) == {new.score_key: new.score}
    event = events.after(store_engine, 0)[-1]
    assert event.kind is EventKind.EVALUATION
    assert (event.payload["seq"], event.payload["fid"]) == (3, 12.000000000000002)


def test_a_failed_candidate_keeps_its_reason(store_engine: Engine) -> None:
    submit(store_engine)
    lease = claim(store_engine)
    evaluations.record(store_engine, lease, evaluation(fid=None))
    (stored,) = evaluations.list_page(store_engine, lease.search_id).items
    assert (stored.score.fid, stored.score.failure) == (None, "images are not finite")


def test_recording_again_changes_nothing(store_engine: Engine) -> None:
    submit(store_engine)
    lease = claim(store_engine)
    evaluations.record(store_engine, lease, evaluation())
    before = evaluations.list_page(store_engine, lease.search_id)
    num_events = len(events.after(store_engine, 0))
    assert not evaluations.record(store_engine, lease, evaluation(cached=True))
    assert evaluations.list_page(store_engine, lease.search_id) == before
    assert len(events.after(store_engine, 0)) == num_events
    assert evaluations.count(store_engine, lease.search_id) == 1


def test_another_evaluation_in_the_same_place_is_a_conflict(store_engine: Engine) -> None:
    submit(store_engine)
    lease = claim(store_engine)
    evaluations.record(store_engine, lease, evaluation())
    with pytest.raises(Conflict, match="score-search-256-b"):
        evaluations.record(store_engine, lease, evaluation(candidate="b"))
    assert scores.known(store_engine, ["score-search-256-b"]) == {}


def test_a_search_remembers_the_scores_it_was_told(store_engine: Engine) -> None:
    """Another search may have stored another value first; a replay must be told the same again."""
    scores.put(store_engine, "k", StoredScore(fid=1.0, failure=None, calls=1024))
    submit(store_engine)
    lease = claim(store_engine)
    told = evaluation(fid=1.0000001, score_key="k")
    evaluations.record(store_engine, lease, told)
    assert evaluations.known(store_engine, lease.search_id, ["k", "l"]) == {"k": told.score}
    assert evaluations.known(store_engine, "another", ["k"]) == {}
    assert scores.known(store_engine, ["k"])["k"].fid == 1.0


def test_evaluations_are_listed_in_ask_order(store_engine: Engine) -> None:
    submit(store_engine)
    lease = claim(store_engine)
    for seq in (4, 0, 3, 1, 2):
        evaluations.record(store_engine, lease, evaluation(seq, candidate=str(seq)))
    seqs: list[int] = []
    position: str | None = None
    for _ in range(3):
        page = evaluations.list_page(store_engine, lease.search_id, limit=2, cursor=position)
        seqs += [each.seq for each in page.items]
        position = page.next_cursor
    assert seqs == [0, 1, 2, 3, 4]
    assert position is None


def test_candidates_are_ranked_by_samples_then_distance_and_failures_last(
    store_engine: Engine,
) -> None:
    submit(store_engine)
    lease = claim(store_engine)
    rows = [("a", 256, 1.0), ("b", 256, 9.0), ("b", 1024, 3.0), ("c", 1024, 2.5), ("d", 256, None),
            ("e", 256, 1.0), ("c", 256, 0.5)]  # fmt: skip
    for seq, (candidate, num_samples, fid) in enumerate(rows):
        new = evaluation(seq, candidate=candidate, num_samples=num_samples, fid=fid)
        evaluations.record(store_engine, lease, new)
    report = evaluation(len(rows), candidate="c", num_samples=4096, fid=99.0, bank="report")
    evaluations.record(store_engine, lease, report)
    for limit in (1, 2, 3, 5):
        assert _ranked(store_engine, lease.search_id, limit) == [
            ("c", 1024, 2.5), ("b", 1024, 3.0), ("a", 256, 1.0), ("e", 256, 1.0), ("d", 256, None),
        ]  # fmt: skip


def _ranked(engine: Engine, search_id: str, limit: int) -> list[tuple[str, int, float | None]]:
    found: list[tuple[str, int, float | None]] = []
    position: str | None = None
    while True:
        page = evaluations.list_ranked(engine, search_id, limit=limit, cursor=position)
        found += [(each.candidate_key, each.num_samples, each.score.fid) for each in page.items]
        position = page.next_cursor
        if position is None:
            return found


@pytest.mark.parametrize("forged", ["x", cursor.encode((2**63,)), cursor.encode(("a",))])
def test_forged_cursors_of_evaluations_are_invalid_input(store_engine: Engine, forged: str) -> None:
    for read in (evaluations.list_page, evaluations.list_ranked):
        with pytest.raises(InvalidInput, match="cursor"):
            read(store_engine, "any", cursor=forged)
    with pytest.raises(InvalidInput, match="cursor"):
        schedules.list_page(store_engine, cursor=forged)
    overflowing = cursor.encode((0, -(2**63), 1.0, "a"))
    with pytest.raises(InvalidInput, match="cursor"):
        evaluations.list_ranked(store_engine, "any", cursor=overflowing)


def test_progress_shows_in_the_row_and_as_an_event(store_engine: Engine) -> None:
    submit(store_engine)
    lease = claim(store_engine)
    evaluations.progress(
        store_engine, lease, phase="search", calls_spent=512, best_fid=2.5, message="rung 1"
    )
    search = searches.show(store_engine, lease.search_id)
    assert (search.phase, search.calls_spent, search.best_fid) == ("search", 512, 2.5)
    event = events.after(store_engine, 0)[-1]
    assert event.kind is EventKind.PROGRESS
    assert event.payload == {
        "phase": "search", "calls_spent": 512, "best_fid": 2.5, "message": "rung 1",
    }  # fmt: skip


def test_events_are_read_after_the_last_one_seen(store_engine: Engine) -> None:
    mine, other = submit(store_engine), submit(store_engine)
    searches.cancel(store_engine, mine.id)
    every = events.after(store_engine, 0)
    assert [event.search_id for event in every] == [mine.id, other.id, mine.id]
    assert [event.id for event in every] == sorted({event.id for event in every})
    assert events.after(store_engine, every[0].id) == every[1:]
    assert events.after(store_engine, 0, search_id=mine.id) == [every[0], every[2]]
    assert events.after(store_engine, 0, limit=1) == every[:1]
    assert events.after(store_engine, every[-1].id) == []
    assert events.last_id(store_engine) == every[-1].id


def test_a_reader_who_follows_ids_misses_no_event(store_engine: Engine) -> None:
    """Ids become visible in their order, however many searches write at once."""
    num_writers, num_each = 6, 25
    done = threading.Event()

    def write(_: int) -> None:
        for _ in range(num_each):
            submit(store_engine)

    def follow() -> list[int]:
        seen: list[int] = []
        while True:
            is_last = done.is_set()
            page = events.after(store_engine, seen[-1] if seen else 0)
            seen += [event.id for event in page]
            if is_last and not page:
                return seen

    with ThreadPoolExecutor(num_writers + 1) as pool:
        reader = pool.submit(follow)
        list(pool.map(write, range(num_writers)))
        done.set()
        seen = reader.result()
    assert len(seen) == num_writers * num_each


def test_the_best_schedule_is_found_by_model_solver_and_calls(store_engine: Engine) -> None:
    for fid, solver, nfe in [
        (3.0, "ddim", 4),
        (2.0, "ddim", 4),
        (1.0, "ddim", 5),
        (0.5, "heun", 4),
    ]:
        submit(store_engine)
        schedule = new_schedule(fid, solver=solver, nfe=nfe)
        leases.succeed(store_engine, claim(store_engine), result={}, schedules=[schedule])
    best = schedules.best(store_engine, model="zoo:digits", solver="ddim", nfe=4)
    assert best is not None
    assert best.fid == 2.0
    assert schedules.best(store_engine, model="zoo:other", solver="ddim", nfe=4) is None
    assert _fids(store_engine, limit=1) == [0.5, 1.0, 2.0, 3.0]
    assert _fids(store_engine, limit=3) == [0.5, 1.0, 2.0, 3.0]
    four_calls = schedules.list_page(store_engine, nfe=4).items
    assert [each.fid for each in four_calls] == [0.5, 2.0, 3.0]


def _fids(engine: Engine, *, limit: int) -> list[float]:
    fids: list[float] = []
    position: str | None = None
    while True:
        page = schedules.list_page(engine, limit=limit, cursor=position)
        fids += [each.fid for each in page.items]
        position = page.next_cursor
        if position is None:
            return fids


def test_a_search_without_schedule_has_none(store_engine: Engine) -> None:
    with pytest.raises(NotFound, match="published no schedule"):
        schedules.of_search(store_engine, submit(store_engine).id)


def test_the_first_teacher_check_stays(store_engine: Engine) -> None:
    check = TeacherCheck(fid=1 / 3, max_fid=2.0, num_samples=4096, nfe=100)
    other = TeacherCheck(fid=9.0, max_fid=2.0, num_samples=4096, nfe=100)
    assert teacher_checks.find(store_engine, "k") is None
    teacher_checks.put(store_engine, "k", check)
    teacher_checks.put(store_engine, "k", other)
    assert teacher_checks.find(store_engine, "k") == check
