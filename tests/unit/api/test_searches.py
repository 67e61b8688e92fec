"""Submitting, listing, showing and cancelling searches over HTTP."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from starlette.testclient import TestClient

from fewstep.wire import Page, Search
from store import leases, searches
from store.engine import Engine
from tests.unit.api.requests import SMALL

LONG_MS = 3_600_000
NO_SEARCH = "00000000-0000-0000-0000-000000000000"


def test_a_submitted_search_waits_in_the_queue(http: TestClient) -> None:
    first, second = (http.post("/v1/searches", json=SMALL) for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 202), first.text
    search = Search.model_validate(second.json())
    assert (search.status, search.place_in_queue) == ("queued", 2)
    assert second.headers["Location"] == f"/v1/searches/{search.id}"
    assert http.get(second.headers["Location"]).json() == second.json()


def test_the_request_is_echoed_with_every_default(http: TestClient) -> None:
    request = http.post("/v1/searches", json=SMALL).json()["request"]
    assert request.items() >= SMALL.items()
    assert (request["steps"], request["seed"], request["strategy"]) == (3, 0, "evolution")


def test_steps_are_converted_to_calls(http: TestClient) -> None:
    body = {name: value for name, value in SMALL.items() if name != "nfe"}
    reply = http.post("/v1/searches", json={**body, "solver": "heun", "steps": 2})
    assert reply.json()["request"]["nfe"] == 3, reply.text


def test_a_bundled_model_is_accepted(http: TestClient) -> None:
    reply = http.post("/v1/searches", json={"model": "zoo:digits", "nfe": 4, "solver": "ddim"})
    assert reply.status_code == 202, reply.text


def test_the_same_key_and_request_make_one_search(http: TestClient) -> None:
    def submit(_: int) -> str:
        reply = http.post("/v1/searches", json=SMALL, headers={"Idempotency-Key": "once"})
        assert reply.status_code == 202, reply.text
        return str(reply.json()["id"])

    with ThreadPoolExecutor(4) as pool:
        ids = set(pool.map(submit, range(8)))
    assert len(ids) == 1
    assert len(http.get("/v1/searches").json()["items"]) == 1


def test_the_same_key_for_another_request_is_a_conflict(http: TestClient) -> None:
    headers = {"Idempotency-Key": "once"}
    http.post("/v1/searches", json=SMALL, headers=headers)
    reply = http.post("/v1/searches", json=SMALL | {"seed": 1}, headers=headers)
    assert (reply.status_code, reply.json()["code"]) == (409, "conflict")


def test_a_full_queue_refuses_and_names_its_length(http: TestClient) -> None:
    for _ in range(5):
        assert http.post("/v1/searches", json=SMALL).status_code == 202
    reply = http.post("/v1/searches", json=SMALL)
    assert (reply.status_code, reply.json()["code"]) == (429, "too-many")
    assert "5 searches wait" in reply.json()["detail"]
    assert len(http.get("/v1/searches").json()["items"]) == 5


def test_pages_hold_every_search_once_newest_first(http: TestClient) -> None:
    ids = [http.post("/v1/searches", json=SMALL).json()["id"] for _ in range(5)]
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        reply = http.get("/v1/searches", params={"limit": 2, **cursor})
        page = Page[Search].model_validate(reply.json())
        found += [search.id for search in page.items]
        if page.next_cursor is None:
            break
        cursor = {"cursor": page.next_cursor}
    assert found == ids[::-1]


def test_searches_are_listed_by_status(http: TestClient) -> None:
    kept, cancelled = (http.post("/v1/searches", json=SMALL).json()["id"] for _ in range(2))
    http.post(f"/v1/searches/{cancelled}/cancel")
    for status, expected in (("queued", [kept]), ("cancelled", [cancelled]), ("failed", [])):
        items = http.get("/v1/searches", params={"status": status}).json()["items"]
        assert [item["id"] for item in items] == expected, status


def test_cancelling_twice_is_cancelling_once(http: TestClient) -> None:
    search_id = http.post("/v1/searches", json=SMALL).json()["id"]
    replies = [http.post(f"/v1/searches/{search_id}/cancel") for _ in range(2)]
    assert [reply.status_code for reply in replies] == [200, 200]
    assert replies[0].json() == replies[1].json()
    assert replies[0].json()["status"] == "cancelled"


def test_a_running_search_can_be_cancelled(http: TestClient, store_engine: Engine) -> None:
    search_id = http.post("/v1/searches", json=SMALL).json()["id"]
    assert leases.claim(store_engine, owner="worker", lease_ms=LONG_MS) is not None
    assert http.get(f"/v1/searches/{search_id}").json()["status"] == "running"
    assert http.post(f"/v1/searches/{search_id}/cancel").json()["status"] == "cancelled"


def test_a_search_that_has_ended_cannot_be_cancelled(
    http: TestClient, store_engine: Engine
) -> None:
    search_id = http.post("/v1/searches", json=SMALL).json()["id"]
    lease = leases.claim(store_engine, owner="worker", lease_ms=LONG_MS)
    assert lease is not None
    leases.fail(store_engine, lease, code="teacher-implausible", message="its FID is 99")
    reply = http.post(f"/v1/searches/{search_id}/cancel")
    assert (reply.status_code, reply.json()["code"]) == (409, "conflict")
    assert "failed" in reply.json()["detail"]
    shown = Search.model_validate(http.get(f"/v1/searches/{search_id}").json())
    assert shown.error is not None
    assert (shown.error.code, shown.error.message) == ("teacher-implausible", "its FID is 99")
    assert searches.show(store_engine, search_id).status == "failed"


def test_a_search_that_does_not_exist_is_not_found(http: TestClient) -> None:
    for search_id in (NO_SEARCH, "1", "%00", "%ff", "a" * 5000):
        for rest in ("", "/events", "/candidates", "/schedule"):
            reply = http.get(f"/v1/searches/{search_id}{rest}")
            assert (reply.status_code, reply.json()["code"]) == (404, "not-found"), reply.text
            assert len(reply.text) < 1000


def test_a_method_that_a_path_lacks_is_refused_as_a_problem(http: TestClient) -> None:
    for path in ("/v1/searches", f"/v1/searches/{NO_SEARCH}", "/v1/schedules", "/v1/health"):
        reply = http.delete(path)
        assert (reply.status_code, reply.json()["code"]) == (405, "method-not-allowed"), path
        assert reply.headers["allow"]
