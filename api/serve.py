"""`python -m api.serve`: the whole service on one machine, API and worker, as `make serve` runs it.

A worker that crashes is started again. When the API ends, or this process is told to stop, all end.
"""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from api.server import bind
from fewstep.errors import FewstepError
from store.engine import open_engine
from store.migrate import upgrade
from store.settings import Settings

API = (sys.executable, "-m", "api")
WORKER = (sys.executable, "-m", "search.worker")
POLL_S = 0.2
STOP_S = 30.0  # for a worker to hand its search back
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
STEADY_S = 60.0  # a worker that lived this long had not crashed at its start
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>


def main() -> int:
    """Migrate, start, watch, stop; 2 where the settings cannot work."""
    settings = Settings()
    try:
        bind(settings.host, settings.port).close()
    except FewstepError as error:
        sys.stderr.write(f"error: {error.message}\n")
        return 2
    engine = open_engine(settings.sqlalchemy_url)
    upgrade(engine)
    engine.dispose()
    with _stop_requested() as is_stopping:
        return supervise(is_stopping)


def supervise(is_stopping: Callable[[], bool]) -> int:
    """Keep both processes up until told to stop (0) or the API ends (its exit status)."""
    api, worker = start(API), Restarted(WORKER)
    try:
        while not is_stopping() and api.poll() is None:
            worker.keep_up()
            time.sleep(POLL_S)
        return 0 if is_stopping() else api.wait() or 1
    finally:
        for process in (api, worker.process):
            process.terminate()
        for process in (api, worker.process):
            wait_or_kill(process)


class Restarted:
    """A process that is started again, after growing pauses, whenever it has ended."""

    def __init__(self, command: tuple[str, ...]) -> None:
        self._command = command
        self._pause_s = FIRST_PAUSE_S
        self._started_at = time.monotonic()
        self._due_at: float | None = None
        self.process = start(command)

    def keep_up(self) -> None:
        """Look once, without waiting."""
        if (status := self.process.poll()) is None:
            return
        now = time.monotonic()
        if self._due_at is None:
            if now - self._started_at > STEADY_S:
                self._pause_s = FIRST_PAUSE_S
            self._due_at = now + self._pause_s
            print(f"worker ended with status {status}; next in {self._pause_s:.1f} s", flush=True)
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        elif now >= self._due_at:
            self._due_at, self._started_at = None, now
            self.process = start(self._command)


def start(command: tuple[str, ...]) -> subprocess.Popen[bytes]:
    """Start a process of its own session: Ctrl-C reaches it through us, once."""
    return subprocess.Popen(command, start_new_session=True, preexec_fn=_end_with_parent)


def wait_or_kill(process: subprocess.Popen[bytes]) -> None:
    """Give a process that was told to stop its time, then end it."""
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _end_with_parent() -> None:
    """Ask Linux to stop the child if we are killed and cannot do it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGTERM)


@contextmanager
def _stop_requested() -> Iterator[Callable[[], bool]]:
    """Turn SIGINT and SIGTERM into an answer to ask for."""
    received: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
