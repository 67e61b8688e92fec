"""Searches under guidance, over solver options and with Markov chains, through a real worker."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine

from fewstep.schedule import Schedule
from fewstep.status import SearchStatus
from search.worker import Worker
from store import schedules, searches
from store.settings import Settings
from tests.workers import left_behind, submit

pytestmark = pytest.mark.timeout(300)

KINDS: dict[str, dict[str, object]] = {
    "classifier guidance, Lie-Trotter": {
        "solver": "ltsp4",
        "nfe": 4,
        "guidance": "classifier",
        "guidance_scale": 2.0,
    },
    "classifier-free guidance, Strang": {
        "solver": "stsp2",
        "nfe": 4,
        "guidance": "classifier-free",
        "guidance_scale": 2.0,
    },
    "derivative gain of every step": {
        "solver": "scire-2",
        "nfe": 5,
        "search_options": ["phi"],
    },
    "denoising from Markov chains": {"solver": "dpm-solver++-2m", "nfe": 6, "dlg": {}},
}


@pytest.fixture
def worker(database_url: str, ready_engine: Engine, tmp_path: Path) -> Worker:
    settings = Settings.model_validate(
        {
            "database_url": database_url,
            "executor": "inline",
            "slots": 1,
            "poll_ms": 10,
            "model_roots": str(tmp_path),
        }
    )
    return Worker(settings, ready_engine, name="tester")


QUICK = ("classifier guidance, Lie-Trotter", "denoising from Markov chains")


@pytest.mark.parametrize(
    "kind",
    [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS],
)
def test_a_search_of_every_kind_succeeds_and_repeats_from_what_is_stored(
    kind: str, worker: Worker, store_engine: Engine
) -> None:
    changes = KINDS[kind] | {"budget": 3000, "fidelities": [64]}
    first, second = submit(store_engine, **changes), submit(store_engine, **changes)
    while searches.count(store_engine, SearchStatus.QUEUED):
        worker.run(once=True)
    search = searches.show(store_engine, first)
    assert (search.status, search.error_message) == (SearchStatus.SUCCEEDED, None)
    document = Schedule.from_dict(schedules.of_search(store_engine, first).document)
    assert document.solver.name == changes["solver"]
    assert document.nfe == changes["nfe"]
    assert document.model.guidance == changes.get("guidance", "none")
    assert left_behind(store_engine, second) == left_behind(store_engine, first)
