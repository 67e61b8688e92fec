"""A private service for the demo: free port, fresh data directory, stopped at exit."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fewstep.client import Client
from fewstep.errors import ServiceUnreachable

START_S = 60.0
STOP_S = 45.0


@contextmanager
def running_service(data_dir: Path, log_path: Path) -> Iterator[Client]:
    """Start API and worker as `make serve` does, hand out a client, stop both.

    Raises:
        ServiceUnreachable: the service did not come up; the end of its log is in the message.
    """
    port = _free_port()
    environment = os.environ | {
        "FEWSTEP_DATA_DIR": str(data_dir),
        "FEWSTEP_HOST": "127.0.0.1",
        "FEWSTEP_PORT": str(port),
    }
    environment.pop("FEWSTEP_DATABASE_URL", None)  # the demo never touches a real database
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "api.serve"],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            with Client(f"http://127.0.0.1:{port}") as client:
                _wait_until_healthy(client, process, log_path)
                yield client
        finally:
            _stop(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_healthy(client: Client, process: subprocess.Popen[bytes], log_path: Path) -> None:
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            client.health()
        except ServiceUnreachable:
            time.sleep(0.2)
        else:
            return
    tail = log_path.read_text(errors="replace")[-2000:]
    raise ServiceUnreachable(
        f"the service did not start within {START_S:.0f} s; its log ends:\n{tail}"
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
