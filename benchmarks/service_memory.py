"""Resident memory of API and worker in a search: `python -m benchmarks.service_memory`.

Limits: API 300 MB, worker 2 GB, the worker's own Ray processes included.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from fewstep.client import Client
from fewstep.errors import ServiceUnreachable
from fewstep.request import SearchRequest
from fewstep.wire import Search
from store.engine import open_engine
from store.migrate import upgrade
from store.settings import Settings

API_LIMIT_MB = 300
WORKER_LIMIT_MB = 2_000
SAMPLE_EVERY_S = 0.25
PORT = 18_321


def main() -> int:
    """Run one search on a fresh data directory; print both peaks; 1 if one is above its limit."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--executor", choices=("inline", "ray"), default="ray")
    parser.add_argument("--budget", type=int, default=20_000, help="network calls")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            data_dir=Path(folder), executor=options.executor, port=PORT, slots=os.cpu_count() or 1
        )
        peaks, search = measure(settings, budget=options.budget)
    limits = {"api": API_LIMIT_MB, "worker": WORKER_LIMIT_MB}
    for name, limit in limits.items():
        print(f"{name}: peak {peaks[name]:.0f} MB, limit {limit} MB")
    if search.error is not None:
        print(f"search {search.status}: {search.error.code}: {search.error.message}")
        return 1
    return int(any(peaks[name] > limit for name, limit in limits.items()))


def measure(settings: Settings, *, budget: int) -> tuple[dict[str, float], Search]:
    """Peak megabytes of each process and its children, and how the search ended."""
    engine = open_engine(settings.sqlalchemy_url)
    upgrade(engine)
    engine.dispose()
    environment = {
        **os.environ,
        "FEWSTEP_DATA_DIR": str(settings.data_dir),
        "FEWSTEP_EXECUTOR": settings.executor,
        "FEWSTEP_SLOTS": str(settings.slots),
        "FEWSTEP_PORT": str(settings.port),
        "OMP_NUM_THREADS": "1",
    }
    api = subprocess.Popen([sys.executable, "-m", "api"], env=environment)
    worker = subprocess.Popen([sys.executable, "-m", "search.worker"], env=environment)
    processes = {"api": api, "worker": worker}
    try:
        with Client(f"http://127.0.0.1:{settings.port}") as client:
            return _watch(client, processes, budget)
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            process.wait()


def _watch(
    client: Client, processes: dict[str, subprocess.Popen[bytes]], budget: int
) -> tuple[dict[str, float], Search]:
    """Submit a search and look at both processes until it ends."""
    request = SearchRequest.parse(
        {
            "model": "zoo:digits",
            "solver": "dpm-solver++-2m",
            "nfe": 4,
            "budget": budget,
            "fidelities": [256, 1024],  # memory is that of one micro-batch and one feature sheet
            "report_images": 256,
            "report_sets": 2,
        }
    )
    search = _submit(client, request)
    peaks = dict.fromkeys(processes, 0.0)
    while not search.status.is_final:
        for name, process in processes.items():
            peaks[name] = max(peaks[name], _megabytes(process.pid))
        time.sleep(SAMPLE_EVERY_S)
        search = client.show(search.id)
    return peaks, search


def _submit(client: Client, request: SearchRequest) -> Search:
    """Submit as soon as the API is up."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return client.submit(request)
        except ServiceUnreachable:
            if time.monotonic() > deadline:
                raise
            time.sleep(SAMPLE_EVERY_S)


def _megabytes(pid: int) -> float:
    """Resident memory of a process and of everything it started."""
    total = 0
    root = psutil.Process(pid)
    for process in (root, *root.children(recursive=True)):
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:  # ended between the two calls
            continue
    return total / 1e6


if __name__ == "__main__":
    sys.exit(main())
