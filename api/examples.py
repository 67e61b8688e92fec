"""One example of each reply, built from the models themselves so that it cannot drift."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import JsonValue

from fewstep import wire
from fewstep.status import SearchStatus

_MOMENT = datetime(2026, 8, 1, 12, 0, tzinfo=UTC)
_ID = "0b8e6c1e-4f0e-4d53-9c4f-0a8f6f1f2f3a"

REQUEST: dict[str, JsonValue] = {"model": "zoo:digits", "solver": "dpm-solver++-2m", "nfe": 4}

SEARCH = wire.Search(
    id=_ID,
    status=SearchStatus.QUEUED,
    created_at=_MOMENT,
    updated_at=_MOMENT,
    request={**REQUEST, "steps": 4, "budget": 200_000, "seed": 0},
    place_in_queue=1,
    calls_budget=200_000,
).model_dump(mode="json")

EVENT = wire.Event(
    id=17,
    search_id=_ID,
    kind="progress",
    created_at=_MOMENT,
    payload={"phase": "search", "calls_spent": 20_480, "best_fid": 3.25, "message": "batch 2"},
).model_dump(mode="json")

EVALUATION = wire.Evaluation(
    seq=0,
    phase="search",
    bank="search",
    set_index=0,
    num_samples=256,
    candidate={"solver": "ddim", "times": [1.0, 0.75, 0.5, 0.25, 0.0]},
    candidate_key="4f" * 32,
    fid=12.5,
    failure=None,
    calls=1024,
    cached=False,
    created_at=_MOMENT,
).model_dump(mode="json")

SCHEDULE_ENTRY = wire.ScheduleEntry(
    id="d3c1b7a0-6c3e-5f43-8a5e-3d2b1c0f9e8d",
    search_id=_ID,
    model="zoo:digits",
    reference="train",
    solver="dpm-solver++-2m",
    nfe=4,
    guidance_scale=1.0,
    fid=1.25,
    standard_error=0.04,
    num_samples=4096,
    num_sets=3,
    created_at=_MOMENT,
    document={"format": "fewstep-schedule", "version": "1.0.0"},
).model_dump(mode="json")

FRONT = wire.Front(
    model="zoo:digits",
    checkpoint_sha256="a1" * 32,
    reference="train",
    guidance="none",
    guidance_scale=1.0,
    num_samples=4096,
    points=[
        wire.FrontPoint(
            schedule_id="d3c1b7a0-6c3e-5f43-8a5e-3d2b1c0f9e8d",
            search_id=_ID,
            point=1,
            solver="dpm-solver++-2m",
            nfe=4,
            cost=3.0,
            cost_share=0.75,
            macs=11_796_480,
            fid=1.5,
            standard_error=0.04,
            weights_sha256="b2" * 32,
        )
    ],
).model_dump(mode="json")

MODEL = wire.Model(
    name="zoo:digits",
    process={"family": "vp-discrete", "num_train_timesteps": 1000},
    prediction="noise",
    image_shape=(1, 8, 8),
    num_classes=10,
    guidance=["none", "classifier-free", "classifier"],
    clip_denoised=True,
    default_reference="train",
    references=["heldout", "train"],
    teacher={"solver": "ddim", "nfe": 100, "num_samples": 1024, "max_fid": 5.0},
    measured={},
    licence="Apache-2.0",
    weights_sha256="a1" * 32,
).model_dump(mode="json")

HEALTH = wire.Health(
    status="ok", version="0.1.0", database="sqlite", queued=2, running=1
).model_dump(mode="json")


def page_of(item: object) -> dict[str, object]:
    """A list's reply with one item."""
    return {"items": [item], "next_cursor": None}
