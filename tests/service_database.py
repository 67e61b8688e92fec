"""A migrated SQLite service directory, and a worker's part played by a test."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fewstep.networks.models import resolve
from fewstep.schedule import Schedule
from fewstep.spacing import grid
from store import evaluations, leases
from store.engine import Engine, open_engine
from store.migrate import upgrade
from store.records import Lease, NewSchedule
from store.settings import Settings

LONG_MS = 3_600_000


def open_database(data_dir: Path) -> Engine:
    """Migrate the embedded database of a data directory."""
    engine = open_engine(Settings(data_dir=data_dir).sqlalchemy_url)
    upgrade(engine)
    return engine


def claim(engine: Engine) -> Lease:
    """Take the oldest search, as a worker does."""
    lease = leases.claim(engine, owner="worker", lease_ms=LONG_MS)
    assert lease is not None, "nothing is queued"
    return lease


def report_progress(engine: Engine, lease: Lease, calls: int) -> None:
    """Say how far the search is."""
    evaluations.progress(
        engine, lease, phase="search", calls_spent=calls, best_fid=4.5, message="a batch"
    )


def succeed(engine: Engine, lease: Lease, *, pruned: bytes | None = None) -> Schedule:
    """End a search with the trailing grid of the bundled model, which is a real schedule.

    With weights of a pruned network, its front has a second point, at half the cost.
    """
    card = resolve("zoo:digits")
    process = card.make_process()
    model = card.document_section()
    fitness = {"fid": 3.25, "standard_error": 0.25, "num_samples": 64, "sets": 2}
    times = grid("trailing", process, 3)
    schedule = Schedule.build(times, model=model, solver="ddim", fitness=fitness)
    new = NewSchedule(
        model=card.name,
        reference=card.default_reference,
        solver="ddim",
        nfe=3,
        guidance_scale=1.0,
        fid=3.25,
        standard_error=0.25,
        document=schedule.to_dict(),
    )
    points = [new]
    if pruned is not None:
        points.append(replace(new, fid=4.5, cost_share=0.5, weights=pruned))
    leases.succeed(engine, lease, result=_report(schedule), schedules=points)
    return schedule


def _report(schedule: Schedule) -> dict[str, object]:
    row: dict[str, object] = {
        "name": "searched",
        "solver": "ddim",
        "times": list(schedule.times),
        "indices": [index for index in schedule.points.k if index is not None],
        "fids": [3.0, 3.5],
        "fid": 3.25,
        "standard_error": 0.25,
        "difference": 0.0,
        "difference_error": 0.0,
    }
    worse = row | {"name": "leading", "fid": 9.5, "difference": 6.25}
    failed = row | {"name": "broken", "fid": None, "failure": "images are not finite"}
    return {"calls": 4_000, "num_samples": 64, "sets": 2, "rows": [row, failed, worse]}
