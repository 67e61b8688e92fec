"""Processes of the service for tests: started as an operator starts them, stopped at the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from fewstep.client import Client
from fewstep.errors import ServiceUnreachable

ROOT = Path(__file__).resolve().parent.parent
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 40.0


@contextmanager
def running(
    command: Sequence[str], environment: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command from the checkout in a session of its own; afterwards all of that ends."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT_S)
        with suppress(ProcessLookupError):  # what it left behind
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def running_api(environment: Mapping[str, str], log: Path, *, port: int = 0) -> Iterator[str]:
    """Run `python -m api`; give its address once it answers."""
    settings = {**environment, "FEWSTEP_PORT": str(port)}
    with running([sys.executable, "-m", "api"], settings, log) as process:
        url = printed_address(process, log)
        wait_until_healthy(url)
        yield url


def printed_address(process: subprocess.Popen[bytes], log: Path) -> str:
    """The address that the API prints last when it starts."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        lines = [line for line in log.read_text().splitlines() if " on http://" in line]
        if lines:
            return lines[-1].split(" on ")[1].split()[0]
        assert process.poll() is None, f"ended with {process.returncode}:\n{log.read_text()}"
        time.sleep(0.05)
    raise AssertionError(f"no address after {START_TIMEOUT_S} s:\n{log.read_text()}")


def wait_until_healthy(url: str) -> None:
    """Wait until the API answers."""
    deadline = time.monotonic() + START_TIMEOUT_S
    with Client(url) as client:
        while True:
            try:
                client.health()
                return
            except ServiceUnreachable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
