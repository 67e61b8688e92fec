"""The published description is complete, and its examples are true."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.problems import MEDIA_TYPE
from store.settings import Settings

Operation = dict[str, Any]


@pytest.fixture(scope="module")
def description(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The document that the service publishes."""
    folder: Path = tmp_path_factory.mktemp("service")
    with TestClient(create_app(Settings(data_dir=folder))) as client:
        document: dict[str, Any] = client.get("/openapi.json").json()
    return document


@pytest.fixture(scope="module")
def operations(description: dict[str, Any]) -> dict[str, Operation]:
    """Every operation by method and path."""
    return {
        f"{method} {path}": operation
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    }


def test_operation_ids_are_those_that_clients_were_written_for(
    operations: dict[str, Operation],
) -> None:
    assert {name: operation["operationId"] for name, operation in operations.items()} == {
        "post /v1/searches": "submit_search",
        "get /v1/searches": "list_searches",
        "get /v1/searches/{search_id}": "show_search",
        "post /v1/searches/{search_id}/cancel": "cancel_search",
        "get /v1/searches/{search_id}/events": "follow_search",
        "get /v1/searches/{search_id}/candidates": "list_candidates",
        "get /v1/searches/{search_id}/schedule": "download_schedule",
        "get /v1/searches/{search_id}/front": "show_front",
        "get /v1/schedules": "list_schedules",
        "get /v1/schedules/{schedule_id}/weights": "download_weights",
        "get /v1/fronts": "list_fronts",
        "get /v1/models": "list_models",
        "get /v1/health": "show_health",
    }


def test_every_operation_declares_its_problems_as_problem_documents(
    operations: dict[str, Operation],
) -> None:
    for name, operation in operations.items():
        expected = {"400", "413", "422"} | ({"404"} if "_id}" in name else set())
        needs_an_end = name.endswith(("/schedule", "/front"))
        expected |= {"409"} if name.startswith("post") or needs_an_end else set()
        assert expected <= operation["responses"].keys(), name
        for status, response in operation["responses"].items():
            if status >= "400":
                assert MEDIA_TYPE in response["content"], f"{name} {status}"


def test_writes_accept_an_idempotency_key(operations: dict[str, Operation]) -> None:
    for name, operation in operations.items():
        if name.startswith("post"):
            names = {parameter["name"].lower() for parameter in operation["parameters"]}
            assert "idempotency-key" in names, name


def test_every_reference_leads_somewhere(description: dict[str, Any]) -> None:
    schemas = description["components"]["schemas"]
    assert {"SearchRequest", "PruningRequest", "Problem", "Schedule"} <= schemas.keys()
    assert not {"HTTPValidationError", "ValidationError"} & schemas.keys()
    for reference in _references(description):
        assert reference.removeprefix("#/components/schemas/") in schemas, reference


def test_every_good_reply_has_an_example_that_fits_its_schema(
    description: dict[str, Any], operations: dict[str, Operation]
) -> None:
    for name, operation in operations.items():
        for status, response in operation["responses"].items():
            for content in response.get("content", {}).values():
                assert "example" in content or status == "200", f"{name} {status}"
                if "schema" in content and "example" in content:
                    schema = content["schema"] | {"components": description["components"]}
                    jsonschema.validate(content["example"], schema)


def _references(value: object) -> list[str]:
    if isinstance(value, dict):
        here = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return here + [found for item in value.values() for found in _references(item)]
    if isinstance(value, list):
        return [found for item in value for found in _references(item)]
    return []
