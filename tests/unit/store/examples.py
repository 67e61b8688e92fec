"""Searches, evaluations and schedules to try the store with."""

from __future__ import annotations

from sqlalchemy import Engine, text

from store import leases, searches
from store.documents import Document
from store.engine import writing
from store.records import Lease, NewEvaluation, NewSchedule, Search, StoredScore

REQUEST: Document = {"model": "zoo:digits", "nfe": 4, "solver": "ddim", "guidance_scale": 1.0}
LONG_MS = 3_600_000


def submit(engine: Engine, request: Document = REQUEST, *, key: str | None = None) -> Search:
    submission = searches.submit(
        engine, request=request, calls_budget=1000, max_queued=100_000, idempotency_key=key
    )
    return submission.search


def claim(engine: Engine, owner: str = "worker-1", *, lease_ms: int = LONG_MS) -> Lease:
    lease = leases.claim(engine, owner=owner, lease_ms=lease_ms)
    assert lease is not None, "nothing to claim"
    return lease


def expire(engine: Engine, lease: Lease) -> None:
    """Let a lease run out now, as if its worker had been silent for that long."""
    early = "1970-01-01 00:00:00.000000"
    statement = text("UPDATE searches SET lease_expires_at = :early WHERE id = :id")
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            statement = text(
                "UPDATE searches SET lease_expires_at = CAST(:early AS timestamptz) WHERE id = :id"
            )
        connection.execute(statement, {"early": early, "id": lease.search_id})


def evaluation(
    seq: int = 0,
    *,
    fid: float | None = 12.5,
    candidate: str = "a",
    num_samples: int = 256,
    bank: str = "search",
    score_key: str | None = None,
    cached: bool = False,
) -> NewEvaluation:
    failure = "images are not finite" if fid is None else None
    return NewEvaluation(
        seq=seq,
        phase="search",
        bank=bank,
        set_index=0,
        num_samples=num_samples,
        candidate={"solver": "ddim", "times": [0.9, 0.30000000000000004, 0.0]},
        candidate_key=candidate,
        score_key=score_key or f"score-{bank}-{num_samples}-{candidate}",
        score=StoredScore(fid=fid, failure=failure, calls=num_samples * 4),
        cached=cached,
    )


def new_schedule(
    fid: float = 3.25,
    *,
    solver: str = "ddim",
    nfe: int = 4,
    cost_share: float = 1.0,
    weights: bytes | None = None,
    num_samples: int = 4096,
    guidance_scale: float = 1.0,
) -> NewSchedule:
    guidance = "none" if guidance_scale == 1.0 else "classifier-free"
    network_calls = nfe if guidance == "none" else 2 * nfe
    return NewSchedule(
        model="zoo:digits",
        reference="train",
        solver=solver,
        nfe=nfe,
        guidance_scale=guidance_scale,
        fid=fid,
        standard_error=0.125,
        document={
            "times": [0.9, 0.30000000000000004, 0.0],
            "fid": fid,
            "model": {"checkpoint_sha256": "0" * 64, "guidance": guidance},
            "solver": {"network_calls": network_calls, "cost": float(network_calls)},
            "chains": None,
            "fitness": {"num_samples": num_samples},
        },
        cost_share=cost_share,
        macs=None if cost_share == 1.0 else round(1e6 * nfe * cost_share),
        seconds=None if cost_share == 1.0 else 0.125 * nfe,
        weights=weights,
    )


def publish(engine: Engine, *points: NewSchedule) -> str:
    """Bring a search to its end with these schedules; return its id."""
    submit(engine)
    lease = claim(engine)
    leases.succeed(engine, lease, result={}, schedules=points)
    return lease.search_id
