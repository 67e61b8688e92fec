"""One Ray cluster for a whole test session: starting one takes seconds and a few hundred MB."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator

import psutil
import pytest


@pytest.fixture(scope="session")
def ray_address() -> Iterator[str]:
    """The address of a cluster with four slots; this process has joined it."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    ray.init(
        address="local",
        num_cpus=4,  # slots, not cores: module fixtures keep some while others score
        include_dashboard=False,
        object_store_memory=100 * 2**20,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()


def kill_busy_actor(method: str) -> None:
    """Kill an actor of this process's cluster once it runs a method (Ray shows it in its title).

    Raises:
        TimeoutError: none came to run it.
    """
    deadline = time.monotonic() + 100.0
    while time.monotonic() < deadline:
        if busy := _processes(f"ray::{method}"):
            busy[0].send_signal(signal.SIGKILL)
            busy[0].wait()
            return
        time.sleep(0.02)
    raise TimeoutError(f"no actor ran {method}")


def _processes(title: str) -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if " ".join(process.cmdline()).startswith(title):
                found.append(process)
        except psutil.Error:  # it ended meanwhile
            continue
    return found
