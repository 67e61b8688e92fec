"""What searches bring forth: candidates, schedules, and the models there are."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass

import pytest
from pydantic import JsonValue
from starlette.testclient import TestClient

from fewstep.process import VPDiscrete
from fewstep.schedule import ModelSection, Schedule
from fewstep.spacing import grid
from fewstep.wire import Evaluation, Front, Model, Page, ScheduleEntry, Search
from store import evaluations, leases
from store.engine import Engine
from store.records import Lease, NewEvaluation, NewSchedule, StoredScore
from tests.unit.api.requests import SMALL

LONG_MS = 3_600_000
REPORT: dict[str, JsonValue] = {
    "calls": 4_000,
    "num_samples": 64,
    "sets": 2,
    "rows": [
        {
            "name": "searched",
            "solver": "ddim",
            "times": [1.0, 0.5, 0.25, 0.0],
            "indices": [999, 499, 249],
            "options": {},
            "chains": None,
            "nfe": 3,
            "network_calls": 3,
            "gradient_calls": 0,
            "cost": 3.0,
            "cost_share": 1.0,
            "fids": [3.0, 3.5],
            "failure": None,
            "fid": 3.25,
            "standard_error": 0.25,
            "difference": 0.0,
            "difference_error": 0.0,
        }
    ],
    "history": [{"calls": 192, "fid": 4.0, "num_samples": 64}],
}


@dataclass
class Bench:
    """Submits searches and plays their worker."""

    http: TestClient
    engine: Engine

    def start(self) -> Lease:
        """Submit a search and claim it."""
        assert self.http.post("/v1/searches", json=SMALL).status_code == 202
        lease = leases.claim(self.engine, owner="worker", lease_ms=LONG_MS)
        assert lease is not None
        return lease

    def evaluate(self, lease: Lease, seq: int, fid: float | None) -> None:
        """Record a score."""
        failure = "images are not finite" if fid is None else None
        new = NewEvaluation(
            seq=seq,
            phase="search",
            bank="search",
            set_index=0,
            num_samples=64,
            candidate={"solver": "ddim", "times": [1.0, 0.5 - seq / 100, 0.0]},
            candidate_key=f"candidate-{seq}",
            score_key=f"{lease.search_id}-{seq}",
            score=StoredScore(fid=fid, failure=failure, calls=192),
            cached=False,
        )
        evaluations.record(self.engine, lease, new)

    def finish(
        self, *others: NewSchedule, fid: float = 3.25, solver: str = "ddim", steps: int = 3
    ) -> str:
        """Bring a search to its end; return its id. `others` are the rest of its front."""
        lease = self.start()
        new = schedule(fid=fid, solver=solver, steps=steps)
        leases.succeed(self.engine, lease, result=dict(REPORT), schedules=[new, *others])
        return lease.search_id


def schedule(
    *,
    fid: float,
    solver: str = "ddim",
    steps: int = 3,
    cost_share: float = 1.0,
    weights: bytes | None = None,
) -> NewSchedule:
    return NewSchedule(
        model="file:random",
        reference="digits",
        solver=solver,
        nfe=steps,
        guidance_scale=1.0,
        fid=fid,
        standard_error=0.25,
        document=document(fid, solver, steps),
        cost_share=cost_share,
        weights=weights,
    )


def document(fid: float, solver: str, steps: int = 3) -> dict[str, object]:
    process = VPDiscrete.linear()
    model = ModelSection(
        name="file:random",
        prediction="noise",
        checkpoint_sha256="0" * 64,
        image_shape=(1, 8, 8),
        process=process.describe(),
    )
    fitness = {"fid": fid, "num_samples": 64, "sets": 2}
    times = grid("trailing", process, steps)
    return Schedule.build(times, model=model, solver=solver, fitness=fitness).to_dict()


@pytest.fixture
def bench(http: TestClient, store_engine: Engine) -> Bench:
    return Bench(http, store_engine)


def test_evaluations_are_listed_in_ask_order_over_pages(bench: Bench) -> None:
    lease = bench.start()
    fids = [5.0, None, 0.1 + 0.2, 7.5, 2.0]
    for seq, fid in enumerate(fids):
        bench.evaluate(lease, seq, fid)
    url = f"/v1/searches/{lease.search_id}/candidates"
    first = Page[Evaluation].model_validate(bench.http.get(url, params={"limit": 3}).json())
    assert first.next_cursor is not None
    rest = bench.http.get(url, params={"limit": 3, "cursor": first.next_cursor}).json()
    second = Page[Evaluation].model_validate(rest)
    assert second.next_cursor is None
    items = first.items + second.items
    assert [(item.seq, item.fid) for item in items] == list(enumerate(fids))
    assert items[1].failure == "images are not finite"


def test_candidates_are_listed_best_first_and_failed_ones_last(bench: Bench) -> None:
    lease = bench.start()
    for seq, fid in enumerate([5.0, None, 0.5, 7.5]):
        bench.evaluate(lease, seq, fid)
    url = f"/v1/searches/{lease.search_id}/candidates"
    found: list[int] = []
    params: dict[str, str | int] = {"order": "best", "limit": 1}
    while True:
        page = Page[Evaluation].model_validate(bench.http.get(url, params=params).json())
        found += [item.seq for item in page.items]
        if page.next_cursor is None:
            break
        params["cursor"] = page.next_cursor
    assert found == [2, 0, 3, 1]


def test_the_schedule_of_a_search_that_has_not_succeeded_is_a_conflict(bench: Bench) -> None:
    waiting = bench.http.post("/v1/searches", json=SMALL).json()["id"]
    reply = bench.http.get(f"/v1/searches/{waiting}/schedule")
    assert (reply.status_code, reply.json()["code"]) == (409, "conflict")
    assert "is queued" in reply.json()["detail"]


def test_the_schedule_of_a_failed_search_says_why(bench: Bench) -> None:
    lease = bench.start()
    leases.fail(bench.engine, lease, code="teacher-implausible", message="FID 99")
    reply = bench.http.get(f"/v1/searches/{lease.search_id}/schedule")
    assert reply.status_code == 409
    assert "is failed (teacher-implausible: FID 99)" in reply.json()["detail"]


def test_a_downloaded_schedule_is_the_document_and_never_changes(bench: Bench) -> None:
    url = f"/v1/searches/{bench.finish()}/schedule"
    reply = bench.http.get(url)
    assert reply.status_code == 200, reply.text
    assert Schedule.from_json(reply.text).to_dict() == document(3.25, "ddim")
    assert "immutable" in reply.headers["cache-control"]
    again = bench.http.get(url, headers={"If-None-Match": reply.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = bench.http.get(url, headers={"If-None-Match": '"other"'})
    assert (other.status_code, other.text) == (200, reply.text)


def test_each_point_of_a_front_can_be_downloaded(bench: Bench) -> None:
    search_id = bench.finish(schedule(fid=4.5, cost_share=0.5))
    url = f"/v1/searches/{search_id}/schedule"
    found = [bench.http.get(url, params={"point": point}) for point in (0, 1, 2)]
    assert [reply.status_code for reply in found] == [200, 200, 404]
    assert [reply.json()["fitness"]["fid"] for reply in found[:2]] == [3.25, 4.5]
    assert found[0].text == bench.http.get(url).text
    assert found[2].json()["errors"][0]["field"] == "point"


def test_weights_are_downloaded_as_they_were_published(bench: Bench) -> None:
    content = bytes(range(256)) * 40
    search_id = bench.finish(schedule(fid=4.5, cost_share=0.5, weights=content))
    best, pruned = bench.http.get("/v1/schedules").json()["items"]
    assert (best["point"], best["cost_share"], best["weights_sha256"]) == (0, 1.0, None)
    assert (pruned["search_id"], pruned["point"], pruned["cost_share"]) == (search_id, 1, 0.5)
    url = f"/v1/schedules/{pruned['id']}/weights"
    reply = bench.http.get(url)
    assert (reply.status_code, reply.content) == (200, content)
    assert reply.headers["content-type"] == "application/octet-stream"
    assert reply.headers["content-length"] == str(len(content))
    sha256 = hashlib.sha256(content).hexdigest()
    assert (reply.headers["etag"], pruned["weights_sha256"]) == (f'"{sha256}"', sha256)
    again = bench.http.get(url, headers={"If-None-Match": reply.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_schedule_without_weights_of_its_own_says_so(bench: Bench) -> None:
    bench.finish()
    (entry,) = bench.http.get("/v1/schedules").json()["items"]
    unknown = "00000000-0000-0000-0000-000000000000"
    for given, words in {entry["id"]: "no weights of its own", unknown: unknown, "x": "x"}.items():
        reply = bench.http.get(f"/v1/schedules/{given}/weights")
        assert (reply.status_code, reply.json()["code"]) == (404, "not-found"), reply.text
        assert words in reply.json()["detail"], reply.text
        assert reply.headers["content-type"] == "application/problem+json"


def test_the_front_of_a_search_is_marked_against_those_of_all(bench: Bench) -> None:
    search_id = bench.finish(schedule(fid=9.0, cost_share=0.7), schedule(fid=4.0, cost_share=0.8))
    bench.finish(fid=5.0, steps=2)
    reply = bench.http.get(f"/v1/searches/{search_id}/front")
    assert reply.status_code == 200, reply.text
    front = Front.model_validate(reply.json())
    (shorter,) = bench.http.get("/v1/schedules", params={"nfe": 2}).json()["items"]
    assert [(p.point, round(p.cost, 9), p.fid, p.dominated_by) for p in front.points] == [
        (0, 3.0, 3.25, None),
        (1, 2.1, 9.0, shorter["id"]),
        (2, 2.4, 4.0, None),
    ]
    page = Page[Front].model_validate(
        bench.http.get("/v1/fronts", params={"model": "file:random"}).json()
    )
    (union,) = page.items
    assert [(p.nfe, p.fid) for p in union.points] == [(2, 5.0), (3, 9.0), (3, 4.0), (3, 3.25)]
    assert (union.guidance, union.num_samples, union.reference) == ("none", 64, "digits")


def test_the_front_of_a_search_that_has_not_succeeded_is_a_conflict(bench: Bench) -> None:
    waiting = bench.http.post("/v1/searches", json=SMALL).json()["id"]
    reply = bench.http.get(f"/v1/searches/{waiting}/front")
    assert (reply.status_code, reply.json()["code"]) == (409, "conflict")


def test_fronts_are_found_by_model_reference_and_guidance(bench: Bench) -> None:
    bench.finish()
    good: dict[str, str | float] = {
        "model": "file:random",
        "reference": "digits",
        "guidance_scale": 1.0,
    }
    changes: list[tuple[dict[str, str | float], int]] = [
        ({}, 1),
        ({"reference": "faces"}, 0),
        ({"guidance_scale": 2.5}, 0),
        ({"model": "zoo:digits"}, 0),
    ]
    for change, expected in changes:
        items = bench.http.get("/v1/fronts", params=good | change).json()["items"]
        assert len(items) == expected, change
    for query, field in WRONG_FILTERS_OF_FRONTS.items():
        reply = bench.http.get(f"/v1/fronts?{query}")
        assert reply.status_code == 422, f"{query}: {reply.text}"
        assert reply.json()["errors"][0]["field"] == field, reply.text


WRONG_FILTERS_OF_FRONTS = {
    "": "model",
    "model=%00": "model",
    "model=x&reference=%00": "reference",
    "model=x&guidance_scale=-1": "guidance_scale",
    "model=x&guidance_scale=nan": "guidance_scale",
}


def test_a_search_that_succeeded_shows_its_report(bench: Bench) -> None:
    search = Search.model_validate(bench.http.get(f"/v1/searches/{bench.finish()}").json())
    assert search.status == "succeeded"
    assert search.result is not None
    assert search.result.model_dump() == REPORT


def test_schedules_are_listed_best_first_with_their_sample_counts(bench: Bench) -> None:
    ids = {fid: bench.finish(fid=fid) for fid in (3.5, 0.25, 1.75)}
    page = Page[ScheduleEntry].model_validate(bench.http.get("/v1/schedules").json())
    assert [(entry.fid, entry.search_id) for entry in page.items] == sorted(ids.items())
    assert {(entry.num_samples, entry.num_sets) for entry in page.items} == {(64, 2)}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"solver": "ddim"}, [1.0]),
        ({"solver": "euler"}, [1.0]),  # the same solver by its other name
        ({"solver": "dpm-solver++-2m", "nfe": 3}, [2.0]),
        ({"model": "file:random"}, [1.0, 2.0]),
        ({"model": "zoo:digits"}, []),
        ({"nfe": 4}, []),
    ],
)
def test_schedules_are_found_by_model_calls_and_solver(
    bench: Bench, filters: dict[str, str | int], expected: list[float]
) -> None:
    bench.finish(fid=1.0, solver="ddim")
    bench.finish(fid=2.0, solver="dpm-solver++-2m")
    items = bench.http.get("/v1/schedules", params=filters).json()["items"]
    assert [item["fid"] for item in items] == expected


WRONG_FILTERS = {
    "nfe=0": "nfe",
    "nfe=1001": "nfe",
    "nfe=four": "nfe",
    "nfe=NaN": "nfe",
    "solver=magic": "solver",
    "model=%00": "model",
    "limit=0": "limit",
    "limit=201": "limit",
    "cursor=%ff": "cursor",
    "cursor=WyJ4Il0": "cursor",
}


def test_a_wrong_filter_is_named(http: TestClient) -> None:
    for query, field in WRONG_FILTERS.items():
        reply = http.get(f"/v1/schedules?{query}")
        assert reply.status_code == 422, f"{query}: {reply.text}"
        assert reply.json()["errors"][0]["field"] == field, reply.text


FORGED: tuple[JsonValue, ...] = (
    [1e308, "x"],
    [10**400, "x"],
    [-(10**400), "x"],
    [1.5, "\0"],
    [True, "x"],
    ["0001-01-01T00:00:00+14:00", "x"],
    ["9999-12-31T23:59:59-14:00", "x"],
    ["2026-01-01", "\ud800"],
    [2**63],
    [-1],
    [1.5],
    [0, -(2**70), 1.5, "x"],
    [2**70, 1, 1.5, "x"],
    [0, -64, 10**400, "x"],
    [0, -64, 1.0, "\0"],
    [],
    None,
)


def test_a_forged_cursor_is_never_a_fault_of_the_service(bench: Bench) -> None:
    search_id = bench.http.post("/v1/searches", json=SMALL).json()["id"]
    lists = ("/v1/searches", "/v1/schedules", f"/v1/searches/{search_id}/candidates")
    texts = [json.dumps(key).encode() for key in FORGED]
    for text in (*texts, *(text.replace(b"1.5", b"NaN") for text in texts)):
        cursor = base64.urlsafe_b64encode(text).decode().rstrip("=")
        for path in (*lists, f"{lists[-1]}?order=best"):
            reply = bench.http.get(path, params={"cursor": cursor})
            assert reply.status_code in (200, 422), f"{path} {text!r}: {reply.text}"


def test_models_are_listed_as_their_cards_say(http: TestClient) -> None:
    page = Page[Model].model_validate(http.get("/v1/models").json())
    models = {model.name: model for model in page.items}
    assert {"zoo:digits", "file:random"} <= models.keys()
    assert models["zoo:digits"].image_shape == (1, 8, 8)
    assert models["zoo:digits"].default_reference in models["zoo:digits"].references


def test_health_counts_what_waits_and_runs(bench: Bench) -> None:
    bench.start()
    bench.http.post("/v1/searches", json=SMALL)
    health = bench.http.get("/v1/health").json()
    assert (health["status"], health["queued"], health["running"]) == ("ok", 1, 1)
    assert health["database"] == bench.engine.dialect.name
