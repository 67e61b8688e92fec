"""The Python client against a real API process."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pydantic import JsonValue
from sqlalchemy import text

from fewstep.client import Client
from fewstep.errors import (
    ChecksFailed,
    Conflict,
    FewstepError,
    InvalidInput,
    NotFound,
    ServiceUnreachable,
    UnknownName,
)
from fewstep.request import SearchRequest
from fewstep.status import SearchStatus
from fewstep.wire import ReportRow
from store import leases
from store.engine import Engine, writing
from tests.service_database import claim, report_progress, succeed
from tests.service_process import running_api

REQUEST: dict[str, JsonValue] = {"model": "zoo:digits", "solver": "ddim", "nfe": 3}
NO_SEARCH = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    """A client of the module's API; what a test leaves queued is cancelled."""
    with Client(url) as client:
        yield client
        for status in (SearchStatus.QUEUED, SearchStatus.RUNNING):
            for search in client.list(status=status, limit=200).items:
                client.cancel(search.id)


def test_a_search_goes_from_submission_to_its_schedule(client: Client, engine: Engine) -> None:
    search = client.submit(REQUEST)
    assert (search.status, search.place_in_queue) == (SearchStatus.QUEUED, 1)
    lease = claim(engine)
    report_progress(engine, lease, 100)
    schedule = succeed(engine, lease)
    assert client.wait(search.id, timeout_s=10).status is SearchStatus.SUCCEEDED
    assert client.schedule(search.id) == schedule
    assert [row.name for row in _rows(client, search.id)] == ["searched", "broken", "leading"]
    entries = list(client.schedules(model="zoo:digits", nfe=3, solver="euler"))
    assert search.id in {entry.search_id for entry in entries}


def test_a_front_and_the_weights_of_its_points_arrive(client: Client, engine: Engine) -> None:
    search = client.submit(REQUEST)
    content = bytes(range(256)) * 5
    schedule = succeed(engine, claim(engine), pruned=content)
    best, pruned = client.front(search.id).points
    assert (best.cost, best.cost_share, best.weights_sha256) == (3.0, 1.0, None)
    assert (pruned.point, pruned.cost, pruned.cost_share) == (1, 1.5, 0.5)
    assert client.weights(pruned.schedule_id) == content
    assert client.schedule(search.id, point=1) == schedule
    with pytest.raises(NotFound, match="no weights of its own: it runs those of zoo:digits"):
        client.weights(best.schedule_id)
    with pytest.raises(NotFound, match="no schedule 2"):
        client.schedule(search.id, point=2)
    fronts = list(client.fronts("zoo:digits", guidance_scale=1.0))
    ids = {point.schedule_id for front in fronts for point in front.points}
    assert {best.schedule_id, pruned.schedule_id} <= ids
    assert list(client.fronts("zoo:digits", reference="heldout")) == []


def test_damaged_weights_are_refused(client: Client, engine: Engine) -> None:
    search = client.submit(REQUEST)
    succeed(engine, claim(engine), pruned=b"as they were fitted")
    pruned = client.front(search.id).points[1]
    with writing(engine) as connection:
        damage = text("UPDATE artifacts SET content = :content WHERE sha256 = :sha256")
        values = {"content": b"as they were fitteD", "sha256": pruned.weights_sha256}
        connection.execute(damage, values)
    with pytest.raises(ChecksFailed, match=str(pruned.weights_sha256)) as caught:
        client.weights(pruned.schedule_id)
    assert caught.value.field == "weights"


def test_a_request_object_and_its_fields_are_the_same_submission(client: Client) -> None:
    request = SearchRequest.parse({**REQUEST, "initial_times": [[900, 400, 100]]})
    by_object = client.submit(request, idempotency_key="same")
    by_fields = client.submit(
        {**REQUEST, "initial_times": [[900, 400, 100]]}, idempotency_key="same"
    )
    assert by_object == by_fields


def test_errors_come_back_as_the_classes_that_the_service_raised(
    client: Client, engine: Engine
) -> None:
    search = client.submit(REQUEST)
    wrong = {**REQUEST, "model": "zoo:nothing"}
    with pytest.raises(UnknownName, match="zoo:digits") as unknown:
        client.submit(wrong)
    assert (unknown.value.field, unknown.value.status) == ("model", 422)
    with pytest.raises(NotFound, match="does not exist"):
        client.show(NO_SEARCH)
    with pytest.raises(NotFound):
        client.show("../health")
    with pytest.raises(Conflict, match="is queued"):
        client.schedule(search.id)
    leases.fail(engine, claim(engine), code="x", message="y")
    with pytest.raises(Conflict, match="is failed"):
        client.cancel(search.id)


def test_a_request_that_cannot_be_valid_is_refused_before_it_is_sent() -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(InvalidInput, match="nfe=0"):
        client.submit({**REQUEST, "nfe": 0})


def test_events_are_those_of_the_search_up_to_its_end(client: Client, engine: Engine) -> None:
    search = client.submit(REQUEST)
    lease = claim(engine)
    kinds = []
    for event in client.events(search.id):
        kinds.append(event.kind)
        if event.kind == "running":
            report_progress(engine, lease, 7)
        elif event.kind == "progress":
            assert event.payload["calls_spent"] == 7
            client.cancel(search.id)
    assert kinds == ["queued", "running", "progress", "cancelled"]


def test_events_of_a_finished_search_end_where_they_are(client: Client) -> None:
    search = client.cancel(client.submit(REQUEST).id)
    ids = [event.id for event in client.events(search.id)]
    assert len(ids) == 2
    assert [event.id for event in client.events(search.id, after=ids[0])] == ids[1:]
    assert list(client.events(search.id, after=ids[1])) == []


def test_events_go_on_over_a_restart_of_the_api(
    engine: Engine, service_environment: dict[str, str], data_dir: Path
) -> None:
    port = _free_port()
    log = data_dir / "restarted.log"
    with ExitStack() as first, Client(f"http://127.0.0.1:{port}") as client:
        first.enter_context(running_api(service_environment, log, port=port))
        search = client.submit(REQUEST)
        lease = claim(engine)
        events = client.events(search.id)
        seen = list(itertools.islice(events, 2))
        first.close()
        report_progress(engine, lease, 1)  # while nobody serves
        with running_api(service_environment, log, port=port):
            report_progress(engine, lease, 2)
            leases.fail(engine, lease, code="x", message="y")
            seen += list(events)
    assert [event.kind for event in seen] == [
        "queued",
        "running",
        "progress",
        "progress",
        "failed",
    ]


def test_pages_are_followed_to_the_end(client: Client) -> None:
    ids = [client.submit(REQUEST).id for _ in range(3)]
    first = client.list(limit=2)
    assert first.next_cursor is not None
    second = client.list(limit=2, cursor=first.next_cursor)
    found = [search.id for search in (*first.items, *second.items)]
    assert found[:3] == ids[::-1]
    assert list(client.candidates(ids[0])) == []


def test_models_and_health_are_typed(client: Client) -> None:
    assert client.health().status == "ok"
    assert "zoo:digits" in {model.name for model in client.models()}


def test_waiting_ends_at_its_deadline(client: Client) -> None:
    search = client.submit(REQUEST)
    with pytest.raises(TimeoutError, match="is queued"):
        client.wait(search.id, timeout_s=0.1)


def test_a_service_that_is_away_is_said_to_be() -> None:
    with Client(f"http://127.0.0.1:{_free_port()}", patience_s=0) as client:
        with pytest.raises(ServiceUnreachable, match="make serve"):
            client.health()
        with pytest.raises(ServiceUnreachable):
            next(client.events(NO_SEARCH))


@pytest.mark.parametrize("address", ["", "localhost:8321", "ftp://x", "http://", "http://[", "\0"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(InvalidInput, match="http://HOST:PORT"):
        Client(address)


def test_another_server_is_not_mistaken_for_the_service(url: str) -> None:
    with Client(f"{url}/elsewhere") as client, pytest.raises(FewstepError, match="Not Found"):
        client.health()


def _rows(client: Client, search_id: str) -> list[ReportRow]:
    result = client.show(search_id).result
    assert result is not None
    return list(result.rows)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port
