"""Resident memory of API and worker in a search: `python -m benchmarks.service_memory`.

Limits: API 300 MB, worker 2 GB, the worker's own Ray processes included. What processes share (the
code of torch, Ray's object store) counts once: it is proportional memory (PSS) that is held against
the limits. The plain sum of resident memory, which counts it once per process, is printed beside.
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

from benchmarks.machine import write_result
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
    parser.add_argument("--out", type=Path, help="JSON file to write, the machine included")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            data_dir=Path(folder), executor=options.executor, port=PORT, slots=os.cpu_count() or 1
        )
        peaks, search = measure(settings, budget=options.budget)
    limits = {"api": API_LIMIT_MB, "worker": WORKER_LIMIT_MB}
    for name, limit in limits.items():
        shares, resident = peaks[name]
        print(f"{name}: peak {shares:.0f} MB, limit {limit} MB (sum of RSS {resident:.0f} MB)")
    if options.out is not None:
        write_result(options.out, _figures(peaks, settings))
    if search.error is not None:
        print(f"search {search.status}: {search.error.code}: {search.error.message}")
        return 1
    return int(any(peaks[name][0] > limit for name, limit in limits.items()))


def _figures(peaks: dict[str, tuple[float, ...]], settings: Settings) -> dict[str, object]:
    """Plain JSON values: proportional and resident megabytes of both process trees."""
    figures: dict[str, object] = {"executor": settings.executor, "slots": settings.slots}
    for name, (shares, resident) in peaks.items():
        figures |= {f"{name}_mb": round(shares), f"{name}_rss_mb": round(resident)}
    return figures


def measure(settings: Settings, *, budget: int) -> tuple[dict[str, tuple[float, ...]], Search]:
    """Peak megabytes (proportional, resident) of each process tree, and the ended search."""
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
) -> tuple[dict[str, tuple[float, ...]], Search]:
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
    peaks: dict[str, tuple[float, ...]] = dict.fromkeys(processes, (0.0, 0.0))
    while not search.status.is_final:
        for name, process in processes.items():
            both = zip(peaks[name], _megabytes(process.pid), strict=True)
            peaks[name] = tuple(max(pair) for pair in both)
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


def _megabytes(pid: int) -> tuple[float, float]:
    """Proportional and resident memory of a process and of everything it started."""
    shares, resident = 0, 0
    root = psutil.Process(pid)
    for process in (root, *root.children(recursive=True)):
        try:
            memory = process.memory_full_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied):  # ended between the two calls
            continue
        shares += getattr(memory, "pss", memory.rss)  # only Linux counts shares
        resident += memory.rss
    return shares / 1e6, resident / 1e6


if __name__ == "__main__":
    sys.exit(main())
