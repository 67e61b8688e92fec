"""The worker process: claims searches, runs them, survives being killed in between.

`python -m search.worker` works until told to stop; `--once` takes at most one search.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import socket
import sys
import uuid
from collections.abc import Iterator, Sequence
from queue import Empty, SimpleQueue
from types import FrameType

from evaluators.score import Numerics
from evaluators.tasks import make_task
from fewstep.errors import Cancelled, FewstepError, LeaseLost, ScoringFailed, ServiceUnreachable
from fewstep.networks.models import resolve
from fewstep.request import SearchRequest
from search.driver import run_search
from search.found import SearchResult
from search.lease_keeper import LeaseKeeper
from search.open_scorers import OpenScorer
from search.publication import new_schedules
from search.stored_journal import StoredJournal
from search.teacher_gate import pass_teacher_gate
from search.worker_log import log_to_stderr
from store import leases, searches
from store.engine import Engine, open_engine
from store.migrate import upgrade
from store.records import Lease
from store.settings import Settings

log = logging.getLogger("search.worker")  # also where it runs as __main__


class Worker:
    """Runs searches one after another; between two of the same model, its scorer stays open."""

    def __init__(self, settings: Settings, engine: Engine, *, name: str | None = None) -> None:
        self._settings = settings
        self._engine = engine
        self._name = name or f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self._scorers = OpenScorer(settings)
        self._is_stopping = False
        # Unlike an Event, it may be used in a signal handler that interrupts its own user.
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._keeper: LeaseKeeper | None = None

    def stop(self) -> None:
        """Hand the search back and end soon; safe in a signal handler."""
        self._is_stopping = True
        self._wake.put(None)
        if self._keeper is not None:
            self._keeper.hand_back()

    def run(self, *, once: bool = False) -> None:
        """Work until told to stop, or once."""
        self._log("worker-started")
        with contextlib.closing(self._scorers):
            while not self._is_stopping:
                is_idle = not self._run_next()
                if once:
                    break
                if is_idle:
                    self._pause()
        self._log("worker-stopped")

    def _run_next(self) -> bool:
        """Claim a search and run it; False if there was none."""
        try:
            lease = leases.claim(self._engine, owner=self._name, lease_ms=self._settings.lease_ms)
        except ServiceUnreachable as error:
            self._log("claim-failed", reason=error.message)
            return False
        if lease is None:
            return False
        self._log("search-claimed", search_id=lease.search_id, epoch=lease.epoch)
        with LeaseKeeper(self._engine, lease, lease_ms=self._settings.lease_ms) as keeper:
            self._keeper = keeper
            if self._is_stopping:  # told so between the claim and the line above
                keeper.hand_back()
            try:
                self._run_guarded(lease)
            finally:
                self._keeper = None
        return True

    def _run_guarded(self, lease: Lease) -> None:
        """Run a claimed search. This is the process boundary: whatever it raises ends here."""
        try:
            self._run_to_end(lease)
        except (Cancelled, LeaseLost) as error:
            self._log("search-left", search_id=lease.search_id, reason=error.code)
        except ServiceUnreachable as error:  # the database: nothing to write to; it is claimed anew
            self._log("search-interrupted", search_id=lease.search_id, reason=error.message)
        except FewstepError as error:
            self._fail(lease, error.code, error.message)
        except Exception as error:
            log.exception("search-crashed", extra={"search_id": lease.search_id})
            self._scorers.close()  # who knows what state it is in
            kind = type(error).__name__
            message = f"unexpected {kind} in worker {self._name}: its log has the traceback"
            self._fail(lease, "internal-error", message)

    def _run_to_end(self, lease: Lease) -> None:
        _refuse_killer(lease, self._settings.max_claims)
        document = searches.show(self._engine, lease.search_id).request
        request = SearchRequest.parse(document)
        result = self._search(lease, request)
        leases.succeed(
            self._engine,
            lease,
            result=result.report,
            schedules=new_schedules(request, result),
        )
        self._log("search-succeeded", search_id=lease.search_id, calls=result.calls)

    def _search(self, lease: Lease, request: SearchRequest) -> SearchResult:
        roots = self._settings.model_roots
        card = resolve(request.model, roots=roots)
        task = make_task(
            request.model,
            reference=request.reference,
            guidance=request.guidance,
            guidance_scale=request.guidance_scale,
            clip_denoised=request.clip_denoised,
            numerics=Numerics(device=self._settings.device),
            has_chains=request.dlg is not None,
            roots=roots,
        )
        try:
            pass_teacher_gate(self._engine, self._scorers, task, card)
            scorer = self._scorers.for_task(task)
            return run_search(request, scorer, StoredJournal(self._engine, lease), card)
        except ScoringFailed:
            self._scorers.close()  # its workers may be gone; the next search starts new ones
            raise

    def _fail(self, lease: Lease, code: str, message: str) -> None:
        """Say in the row why the search failed, unless it is not ours any more."""
        self._log("search-failed", search_id=lease.search_id, code=code, reason=message)
        try:
            leases.fail(self._engine, lease, code=code, message=message)
        except FewstepError as error:
            self._log("failure-not-stored", search_id=lease.search_id, reason=error.message)

    def _pause(self) -> None:
        with contextlib.suppress(Empty):
            self._wake.get(timeout=self._settings.poll_ms / 1000)

    def _log(self, event: str, **fields: object) -> None:
        log.info(event, extra={"worker": self._name, **fields})


def _refuse_killer(lease: Lease, max_claims: int) -> None:
    """Stop a search that ends every worker that runs it from being resumed forever."""
    if lease.epoch > max_claims:
        raise ScoringFailed(
            f"claimed {lease.epoch - 1} times and never finished: it may need more memory than its "
            f"workers have; at most {max_claims} claims are allowed (FEWSTEP_MAX_CLAIMS)"
        )


@contextlib.contextmanager
def _stopping_on_signals(worker: Worker) -> Iterator[None]:
    """Let the first SIGTERM or SIGINT hand the search back; a second one ends the process."""

    def stop(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        worker.stop()

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a worker on the settings of the environment."""
    parser = argparse.ArgumentParser(prog="python -m search.worker", description=main.__doc__)
    parser.add_argument("--once", action="store_true", help="take at most one search, then end")
    parser.add_argument("--poll-s", type=float, help="pause between looks at an empty queue")
    options = parser.parse_args(arguments)
    changed = {} if options.poll_s is None else {"poll_ms": round(options.poll_s * 1000)}
    settings = Settings(**changed)
    log_to_stderr()
    engine = open_engine(settings.sqlalchemy_url)
    upgrade(engine)
    worker = Worker(settings, engine)
    with _stopping_on_signals(worker):
        worker.run(once=options.once)
    engine.dispose()
    return 0


if __name__ == "__main__":
    sys.exit(main())
