"""Searches under guidance, over solver options and with Markov chains, through a real worker."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import pytest
import torch
from sqlalchemy import Engine

from evaluators.banks import Bank, NoiseBank
from evaluators.features import load_extractor, to_uint8
from evaluators.frechet import frechet_distance
from evaluators.references import load_reference
from fewstep import load_pruned
from fewstep.networks.models import resolve
from fewstep.networks.pruning.loading import PrunedModel
from fewstep.schedule import Schedule
from fewstep.status import SearchStatus
from search.worker import Worker
from store import artifacts, schedules, searches
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
    "a front of pruned networks": {
        "solver": "dpm-solver++-2m",
        "nfe": 3,
        "pruning": {"mode": "bands", "calibration_images": 16},
    },
    "a network within seconds": {
        "solver": "ddim",
        "nfe": 3,
        "pruning": {
            "cost": 0.9,
            "objective": "seconds",
            "repair": "bias",
            "calibration_images": 16,
        },
    },
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


QUICK = (
    "classifier guidance, Lie-Trotter",
    "denoising from Markov chains",
    "a front of pruned networks",
)


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


def test_pruned_schedules_are_published_with_the_weights_they_were_scored_with(
    worker: Worker, store_engine: Engine, tmp_path: Path
) -> None:
    fields = KINDS["a front of pruned networks"]
    search_id = submit(store_engine, **fields, budget=3000, fidelities=[64])
    worker.run(once=True)
    best, *rest = schedules.front_of_search(store_engine, search_id)
    assert Schedule.from_dict(best.document).architecture is None
    assert rest, "the front has pruned points"
    shares = [published.cost_share for published in rest]
    assert shares == sorted(shares, reverse=True)
    assert 0.7 < shares[-1] < 1.0
    file = tmp_path / "weights.safetensors"
    for published in rest:
        document = Schedule.from_dict(published.document)
        assert document.architecture is not None
        assert published.weights_sha256 == document.architecture.weights_sha256
        file.write_bytes(artifacts.get(store_engine, str(published.weights_sha256)))
        pruned = load_pruned("zoo:digits", document, weights=file)
        assert published.fid == pytest.approx(_reported_fid(pruned, document), rel=1e-6)


def _reported_fid(pruned: PrunedModel, schedule: Schedule) -> float:
    """The mean distance over the report sets, their images sampled from the document alone."""
    fitness = schedule.fitness
    card = resolve("zoo:digits")
    statistics = load_reference(card.reference_path(str(fitness["reference"])))
    extractor = load_extractor(card.extractor)
    fids = []
    for number in range(int(fitness["sets"])):
        bank = NoiseBank(card.image_shape, card.num_classes, Bank("report", number))
        count = int(fitness["num_samples"])
        labels = torch.from_numpy(bank.labels(0, count))
        with torch.inference_mode():
            x = torch.from_numpy(bank.noise(0, count))
            images = schedule.sample(pruned.denoisers(labels), x)
            features = extractor.features(to_uint8(images)).numpy()
        fids.append(frechet_distance(features, statistics.gaussian))
    return fmean(fids)
