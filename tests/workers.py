"""Real worker processes, small real searches for them, and everything a search left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from fewstep.canonical import canonical_json
from fewstep.request import SearchRequest
from fewstep.status import SearchStatus
from store import evaluations, searches
from store.engine import reading
from store.records import Search
from store.tables import EvaluationRow, ScheduleRow, SearchRow

ROOT = Path(__file__).resolve().parent.parent
# The machine may be busy with other suites; a failure to get there at all takes this long to show.
PATIENCE_S = 300.0

SMALL: dict[str, object] = {
    "model": "zoo:digits",
    "solver": "ddim",
    "nfe": 2,
    "budget": 6000,
    "fidelities": [64, 128],
    "num_finalists": 2,
    "report_images": 64,
    "report_sets": 2,
}


def submit(engine: Engine, **changes: object) -> str:
    """Queue a small search; returns its id."""
    request = SearchRequest.parse(SMALL | changes)
    submission = searches.submit(
        engine, request=request.resolved(), calls_budget=request.budget, max_queued=100
    )
    return submission.search.id


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """A running `python -m search.worker`."""

    process: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def tell(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end; returns its status."""
        return self.process.wait(PATIENCE_S)

    def lines(self) -> str:
        """What it logged."""
        return self.log.read_text()


@contextmanager
def worker(
    database_url: str, log: Path, *, lease_ms: int = 3_600_000, once: bool = True, slots: int = 1
) -> Iterator[WorkerProcess]:
    """Run a worker process on a database; killed at the end if it still runs."""
    environment = {
        **os.environ,
        "FEWSTEP_DATABASE_URL": database_url,
        "FEWSTEP_EXECUTOR": "inline",
        "FEWSTEP_SLOTS": str(slots),
        "FEWSTEP_LEASE_MS": str(lease_ms),
        "FEWSTEP_POLL_MS": "50",
        "PYTHONWARNINGS": "default",
    }
    command = [sys.executable, "-m", "search.worker", *(["--once"] if once else [])]
    with log.open("ab") as errors:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=errors)
    try:
        yield WorkerProcess(process, log)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(PATIENCE_S)


def wait_until(claim: Callable[[], bool], what: str, running: WorkerProcess) -> None:
    """Poll until `claim` holds; fails with the worker's log if that takes too long."""
    deadline = time.monotonic() + PATIENCE_S
    while not claim():
        if running.process.poll() is not None and not claim():
            pytest.fail(f"the worker ended before: {what}\n{running.lines()}")
        if time.monotonic() > deadline:
            pytest.fail(f"waited {PATIENCE_S:g} s in vain for: {what}\n{running.lines()}")
        time.sleep(0.02)


def wait_for_evaluations(engine: Engine, search_id: str, least: int, at: WorkerProcess) -> None:
    """Wait until a search, still running, has stored that many evaluations."""
    wait_until(lambda: evaluations.count(engine, search_id) >= least, f"{least} evaluations", at)
    assert searches.show(engine, search_id).status is SearchStatus.RUNNING, at.lines()


def wait_for_end(engine: Engine, search_id: str, at: WorkerProcess) -> Search:
    """Wait until a search has ended."""
    wait_until(lambda: searches.show(engine, search_id).status.is_final, "the end", at)
    return searches.show(engine, search_id)


def left_behind(engine: Engine, search_id: str) -> str:
    """All a search leaves behind, as canonical lines: result, schedule, table of evaluations.

    Without what may differ between two runs: times, owners, ids, and `cached` marks.
    """
    varying = {"id", "search_id", "created_at", "updated_at", "cached", "owner", "lease_epoch",
               "lease_expires_at", "idempotency_key"}  # fmt: skip
    tables = (
        select(SearchRow.__table__).where(SearchRow.id == search_id),
        select(ScheduleRow.__table__)
        .where(ScheduleRow.search_id == search_id)
        .order_by(ScheduleRow.point),
        select(EvaluationRow.__table__)
        .where(EvaluationRow.search_id == search_id)
        .order_by(EvaluationRow.seq),
    )
    with reading(engine) as connection:
        rows = [row._mapping for query in tables for row in connection.execute(query)]
    kept = [{name: row[name] for name in row if name not in varying} for row in rows]
    return "\n".join(canonical_json(row) for row in kept)
