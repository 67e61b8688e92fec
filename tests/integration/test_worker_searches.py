"""A worker in this process runs real searches on the bundled model, and outlives bad ones."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from fewstep.request import SearchRequest
from fewstep.schedule import Schedule
from fewstep.status import EventKind, SearchStatus
from search.worker import Worker
from search.worker_log import JsonLines
from store import evaluations, events, leases, schedules, searches
from store.engine import writing
from store.records import Search
from store.settings import Settings
from tests.model_folder import write_model
from tests.workers import SMALL, left_behind, submit

pytestmark = pytest.mark.timeout(300)
TINY: dict[str, object] = {"budget": 2000, "fidelities": [64]}


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings.model_validate(
        {"database_url": database_url, "executor": "inline", "slots": 1, "poll_ms": 10,
         "model_roots": str(tmp_path / "models")}
    )  # fmt: skip


@pytest.fixture
def worker(settings: Settings, ready_engine: Engine) -> Worker:
    return Worker(settings, ready_engine, name="tester")


def _run_all(worker: Worker, engine: Engine) -> None:
    while searches.count(engine, SearchStatus.QUEUED):
        worker.run(once=True)


def _ended(engine: Engine, search_id: str) -> Search:
    search = searches.show(engine, search_id)
    assert search.status.is_final, search
    return search


def test_a_search_ends_with_result_schedule_and_events(
    worker: Worker, store_engine: Engine
) -> None:
    search_id = submit(store_engine, **TINY)
    worker.run(once=True)
    search = _ended(store_engine, search_id)
    assert (search.status, search.error_message) == (SearchStatus.SUCCEEDED, None)
    assert search.result is not None
    rows = search.result["rows"]
    assert isinstance(rows, list)
    published = schedules.of_search(store_engine, search_id)
    assert (published.model, published.solver, published.nfe) == ("zoo:digits", "ddim", 2)
    assert published.fid == rows[0]["fid"]
    assert Schedule.from_dict(published.document).solver.nfe == 2
    kinds = [event.kind for event in events.after(store_engine, 0)]
    assert kinds[:2] == [EventKind.QUEUED, EventKind.RUNNING]
    assert kinds[-1] is EventKind.SUCCEEDED
    assert kinds.count(EventKind.EVALUATION) == evaluations.count(store_engine, search_id)


def test_the_same_search_again_computes_nothing_and_ends_the_same(
    worker: Worker, store_engine: Engine
) -> None:
    first, second = submit(store_engine, **TINY), submit(store_engine, **TINY)
    _run_all(worker, store_engine)
    assert left_behind(store_engine, second) == left_behind(store_engine, first)
    page = evaluations.list_page(store_engine, second, limit=500)
    assert page.items
    assert all(evaluation.cached for evaluation in page.items)


def test_a_teacher_that_samples_noise_fails_the_search_and_no_other(
    worker: Worker, store_engine: Engine, tmp_path: Path
) -> None:
    broken = submit(store_engine, model=write_model(tmp_path / "models"), nfe=2)
    _run_all(worker, store_engine)
    search = _ended(store_engine, broken)
    assert (search.status, search.error_code) == (SearchStatus.FAILED, "teacher-implausible")
    assert "allowed: at most 10" in str(search.error_message)
    assert evaluations.count(store_engine, broken) == 0
    assert events.after(store_engine, 0)[-1].kind is EventKind.FAILED


def test_a_model_that_went_away_fails_with_its_code(worker: Worker, store_engine: Engine) -> None:
    request = SearchRequest.parse(SMALL).resolved() | {"model": "file:gone"}
    submission = searches.submit(store_engine, request=request, calls_budget=1, max_queued=9)
    worker.run(once=True)
    search = _ended(store_engine, submission.search.id)
    assert (search.status, search.error_code) == (SearchStatus.FAILED, "unknown-name")


def test_a_search_that_ends_all_its_workers_is_failed_in_the_end(
    settings: Settings, store_engine: Engine
) -> None:
    search_id = submit(store_engine)
    for _ in range(3):
        lease = leases.claim(store_engine, owner="dying", lease_ms=1000)
        assert lease is not None
        leases.release(store_engine, lease)
    limited = settings.model_copy(update={"max_claims": 3})
    Worker(limited, store_engine).run(once=True)
    search = _ended(store_engine, search_id)
    assert search.error_code == "scoring-failed"
    assert "at most 3 claims" in str(search.error_message)


def test_our_own_mistakes_end_in_the_row_and_the_log_not_in_the_process(
    worker: Worker, store_engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with writing(store_engine) as connection:  # a schema that is not what the code expects
        connection.execute(text("CREATE UNIQUE INDEX broken ON evaluations (search_id)"))
    search_id = submit(store_engine, **TINY)
    worker.run(once=True)
    search = _ended(store_engine, search_id)
    assert (search.status, search.error_code) == (SearchStatus.FAILED, "internal-error")
    assert "IntegrityError in worker tester" in str(search.error_message)
    assert "search-crashed" in caplog.messages
    with writing(store_engine) as connection:
        connection.execute(text("DROP INDEX broken"))
    following = submit(store_engine, **TINY)
    worker.run(once=True)
    assert _ended(store_engine, following).status is SearchStatus.SUCCEEDED


def test_a_stored_request_that_is_none_fails_with_its_code(
    worker: Worker, store_engine: Engine
) -> None:
    submission = searches.submit(store_engine, request={}, calls_budget=1, max_queued=9)
    worker.run(once=True)
    assert _ended(store_engine, submission.search.id).error_code == "invalid-input"


def test_a_worker_that_is_told_to_stop_while_idle_stops(worker: Worker) -> None:
    running = threading.Thread(target=worker.run)
    running.start()
    worker.stop()
    running.join(60)
    assert not running.is_alive()


def _when_running(engine: Engine, search_id: str, act: Callable[[], object]) -> threading.Thread:
    """Act, in another thread, once a search has stored its first evaluations."""

    def wait_and_act() -> None:
        deadline = time.monotonic() + 200
        while evaluations.count(engine, search_id) < 5 and time.monotonic() < deadline:
            time.sleep(0.005)
        act()

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    return thread


def test_a_worker_told_to_stop_hands_back_and_another_ends_the_search(
    worker: Worker, settings: Settings, store_engine: Engine
) -> None:
    alone = submit(store_engine, budget=3000)
    worker.run(once=True)
    with writing(store_engine) as connection:  # or the next one would compute nothing
        connection.execute(text("DELETE FROM scores"))
    handed_over = submit(store_engine, budget=3000)
    stopping = _when_running(store_engine, handed_over, worker.stop)
    worker.run()
    stopping.join()
    left = searches.show(store_engine, handed_over)
    assert (left.status, left.owner) == (SearchStatus.QUEUED, None)
    assert evaluations.count(store_engine, handed_over) >= 5
    Worker(settings, store_engine).run(once=True)
    assert left_behind(store_engine, handed_over) == left_behind(store_engine, alone)


def test_a_search_cancelled_in_mid_run_stops_and_stores_no_more(
    worker: Worker, store_engine: Engine
) -> None:
    search_id = submit(store_engine)
    cancelling = _when_running(
        store_engine, search_id, lambda: searches.cancel(store_engine, search_id)
    )
    worker.run(once=True)
    cancelling.join()
    search = _ended(store_engine, search_id)
    assert (search.status, search.result, search.owner) == (SearchStatus.CANCELLED, None, None)
    assert events.after(store_engine, 0)[-1].kind is EventKind.CANCELLED
    assert 5 <= evaluations.count(store_engine, search_id) < 50


def test_log_lines_are_json_with_the_events_own_fields() -> None:
    record = logging.makeLogRecord(
        {"name": "search.worker", "levelname": "INFO", "msg": "search-claimed", "epoch": 2,
         "search_id": "x"}
    )  # fmt: skip
    line = json.loads(JsonLines().format(record))
    assert line.pop("at").endswith("+00:00")
    assert line == {
        "level": "info", "logger": "search.worker", "event": "search-claimed", "epoch": 2,
        "search_id": "x",
    }  # fmt: skip
