"""Workers are killed, frozen and told to stop in mid-search; what is left is as if nothing was."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from sqlalchemy import Engine

from fewstep.status import SearchStatus
from store import evaluations, searches, teacher_checks
from store.engine import open_engine
from store.migrate import upgrade
from store.records import TeacherCheck
from tests.workers import (
    WorkerProcess,
    left_behind,
    submit,
    wait_for_end,
    wait_for_evaluations,
    wait_until,
    worker,
)

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]
QUICK_LEASE_MS = 1500


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, passed_teacher: tuple[str, TeacherCheck]
) -> str:
    """What the small search leaves behind when nobody interferes."""
    return _left_undisturbed(tmp_path_factory.mktemp("undisturbed"), passed_teacher)


def _left_undisturbed(
    folder: Path, passed_teacher: tuple[str, TeacherCheck], **changes: object
) -> str:
    url = f"sqlite:///{folder / 'fewstep.sqlite3'}"
    engine = open_engine(url)
    upgrade(engine)
    teacher_checks.put(engine, *passed_teacher)
    search_id = submit(engine, **changes)
    with worker(url, folder / "log") as running:
        assert running.wait() == 0, running.lines()
        assert wait_for_end(engine, search_id, running).status == "succeeded", running.lines()
    remains = left_behind(engine, search_id)
    engine.dispose()
    assert remains.count("\n") > 40, "too small a search to kill in its middle"
    return remains


def _kill_and_resume(
    engine: Engine, url: str, log: Path, kill_after: list[int], **changes: object
) -> str:
    """Run the small search, killing its worker at each of the given numbers of evaluations."""
    search_id = submit(engine, **changes)
    for number, num_evaluations in enumerate(kill_after, start=1):
        with worker(url, log, lease_ms=QUICK_LEASE_MS, once=False) as running:
            # Its own claim, too: what its predecessor stored may be enough, and it dies replaying.
            _wait_for_claim(engine, search_id, number, running)
            wait_for_evaluations(engine, search_id, num_evaluations, running)
            running.kill()
        left = searches.show(engine, search_id)
        assert (left.status, left.result) == (SearchStatus.RUNNING, None), "killed too late"
    with worker(url, log, lease_ms=QUICK_LEASE_MS, once=False) as running:
        ended = wait_for_end(engine, search_id, running)
    assert ended.status is SearchStatus.SUCCEEDED, running.lines()
    assert ended.lease_epoch == len(kill_after) + 1
    return left_behind(engine, search_id)


def _wait_for_claim(engine: Engine, search_id: str, epoch: int, at: WorkerProcess) -> None:
    wait_until(lambda: searches.show(engine, search_id).lease_epoch == epoch, f"claim {epoch}", at)


def test_kill_minus_9_in_mid_search_changes_no_byte_of_what_is_left(
    ready_engine: Engine, database_url: str, tmp_path: Path, undisturbed: str
) -> None:
    remains = _kill_and_resume(ready_engine, database_url, tmp_path / "log", [12])
    assert remains.splitlines() == undisturbed.splitlines()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_kill_minus_9_while_pruning_changes_no_byte_of_front_and_weights(
    ready_engine: Engine,
    database_url: str,
    tmp_path: Path,
    passed_teacher: tuple[str, TeacherCheck],
) -> None:
    changes = {"nfe": 3, "pruning": {"mode": "steps", "reuse": True, "calibration_images": 16}}
    undisturbed = _left_undisturbed(tmp_path, passed_teacher, **changes)
    rows = [line for line in undisturbed.splitlines() if '"bank":' in line]
    pruning = [place for place, row in enumerate(rows) if '"phase":"pruning"' in row]
    assert len(pruning) > 10, "too small a search to kill in its second stage"
    places = [pruning[0] - 1, pruning[3], pruning[-4]]
    log = tmp_path / "killed"
    remains = _kill_and_resume(ready_engine, database_url, log, places, **changes)
    assert remains.splitlines() == undisturbed.splitlines()
    assert "weights_sha256" in remains


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_kills_at_many_places_change_no_byte_of_what_is_left(
    ready_engine: Engine, database_url: str, tmp_path: Path, undisturbed: str
) -> None:
    total = undisturbed.count("\n") - 1  # beside the search and its schedule
    places = [1, total // 4, total // 2, total // 2 + 1, total - 20]  # the last is in the report
    remains = _kill_and_resume(ready_engine, database_url, tmp_path / "log", places)
    assert remains.splitlines() == undisturbed.splitlines()


@pytest.mark.slow
def test_a_worker_told_to_stop_hands_over_at_once(
    ready_engine: Engine, database_url: str, tmp_path: Path, undisturbed: str
) -> None:
    search_id = submit(ready_engine)
    # Leases of an hour: only a search that was handed back can go on.
    with worker(database_url, tmp_path / "first", once=False) as first:
        wait_for_evaluations(ready_engine, search_id, 8, first)
        first.tell(signal.SIGTERM)
        assert first.wait() == 0, first.lines()
    handed_back = searches.show(ready_engine, search_id)
    assert (handed_back.status, handed_back.owner) == (SearchStatus.QUEUED, None)
    assert '"search-handed-back"' in first.lines()
    with worker(database_url, tmp_path / "second") as second:
        assert second.wait() == 0, second.lines()
    assert left_behind(ready_engine, search_id).splitlines() == undisturbed.splitlines()


@pytest.mark.slow
def test_a_frozen_worker_that_wakes_up_after_takeover_changes_nothing(
    ready_engine: Engine, database_url: str, tmp_path: Path, undisturbed: str
) -> None:
    search_id = submit(ready_engine)
    with worker(database_url, tmp_path / "frozen", lease_ms=QUICK_LEASE_MS) as frozen:
        wait_for_evaluations(ready_engine, search_id, 8, frozen)
        frozen.tell(signal.SIGSTOP)
        # Not --once: on a fast machine it looks before the lease has run out.
        with worker(database_url, tmp_path / "other", once=False) as other:
            _wait_for_claim(ready_engine, search_id, 2, other)
            frozen.tell(signal.SIGCONT)  # both run now, one of them without knowing
            assert frozen.wait() == 0, frozen.lines()
            assert searches.show(ready_engine, search_id).lease_epoch == 2
            wait_for_end(ready_engine, search_id, other)
    assert '"reason": "lease-lost"' in frozen.lines()
    assert left_behind(ready_engine, search_id).splitlines() == undisturbed.splitlines()


@pytest.mark.slow
def test_a_search_cancelled_in_mid_run_stops_and_the_next_one_runs(
    ready_engine: Engine, database_url: str, tmp_path: Path, undisturbed: str
) -> None:
    cancelled = submit(ready_engine, seed=1)
    following = submit(ready_engine)
    with worker(database_url, tmp_path / "log", once=False) as running:
        wait_for_evaluations(ready_engine, cancelled, 8, running)
        searches.cancel(ready_engine, cancelled)
        num_stored = evaluations.count(ready_engine, cancelled)
        wait_for_end(ready_engine, following, running)
    left = searches.show(ready_engine, cancelled)
    assert (left.status, left.result, left.owner) == (SearchStatus.CANCELLED, None, None)
    assert evaluations.count(ready_engine, cancelled) == num_stored
    assert left_behind(ready_engine, following).splitlines() == undisturbed.splitlines()
