"""Whatever is wrong with a request is a 4xx that says so, and nothing is queued."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import JsonValue
from starlette.testclient import TestClient

from api.app import create_app
from api.problems import MEDIA_TYPE
from store.engine import open_engine
from store.migrate import upgrade
from store.settings import Settings
from tests.unit.api.requests import SMALL

JSON = {"content-type": "application/json"}
DEEP = 100_000

# What is changed in a good request; the field the problem names; what its message must hold.
WRONG_FIELDS: dict[str, tuple[dict[str, JsonValue], str, list[str]]] = {
    "unknown model": ({"model": "zoo:nothing"}, "model", ["zoo:nothing", "zoo:digits"]),
    "model outside the roots": ({"model": "file:../random"}, "model", ["../random"]),
    "model of a wrong type": ({"model": ["zoo:digits"]}, "model", ["zoo:digits", "string"]),
    "missing model": ({"model": None}, "model", ["None", "string"]),
    "unknown reference": ({"reference": "faces"}, "reference", ["faces", "digits"]),
    "unknown solver": ({"solver": "magic"}, "solver", ["magic", "ddim", "heun"]),
    "solver of a wrong type": ({"solver": 7}, "solver", ["7"]),
    "nfe 0": ({"nfe": 0}, "nfe", ["nfe=0", "1"]),
    "nfe 1001": ({"nfe": 1001}, "nfe", ["nfe=1001", "1000"]),
    "nfe as text": ({"nfe": "4"}, "nfe", ["'4'", "integer"]),
    "nfe as a truth value": ({"nfe": True}, "nfe", ["True"]),
    "nfe as a fraction": ({"nfe": 3.5}, "nfe", ["3.5"]),
    "nfe beyond 64 bits": ({"nfe": 10**30}, "nfe", ["1000"]),
    "an even nfe of heun": ({"solver": "heun", "nfe": 4}, "nfe", ["4"]),
    "nfe and steps at odds": ({"steps": 2}, "steps", ["2", "3"]),
    "repeated times": ({"initial_times": [[9, 9, 1]]}, "initial_times[0][1]", ["9", "decrease"]),
    "increasing times": ({"initial_times": [[1, 5, 9]]}, "initial_times[0][1]", ["5", "decrease"]),
    "too few times": ({"initial_times": [[9, 1]]}, "initial_times[0]", ["2", "3"]),
    "times beyond the process": ({"initial_times": [[1000, 5, 1]]}, "initial_times", ["1000"]),
    "a negative time": ({"initial_times": [[9, 5, -1]]}, "initial_times[0][2]", ["-1"]),
    "an unknown field": ({"colour": "red"}, "colour", ["red", "allowed", "budget"]),
    "an unsafe name of a field": ({"a\u0000\ud83d\ude00": 1}, "a", ["allowed"]),
    "budget 0": ({"budget": 0}, "budget", ["0"]),
    "budget below one schedule": ({"budget": 1}, "budget", ["1", "192"]),
    "budget above the quota": ({"budget": 1_000_001}, "budget", ["1000001", "1000000"]),
    "negative seed": ({"seed": -1}, "seed", ["-1"]),
    "unknown strategy": ({"strategy": "luck"}, "strategy", ["luck", "evolution"]),
    "falling fidelities": ({"fidelities": [256, 64]}, "fidelities[1]", ["64", "increase"]),
    "negative guidance": ({"guidance_scale": -1.0}, "guidance_scale", ["-1.0"]),
    "unknown guidance": ({"guidance": "strong"}, "guidance", ["strong", "classifier"]),
    "guidance without a scale to match": (
        {"guidance": "none", "guidance_scale": 2.0},
        "guidance_scale",
        ["2", "allowed: 1"],
    ),
    "a guide that the model lacks": (
        {"guidance": "classifier"},
        "guidance",
        ["file:random", "no noisy-label guide", "classifier-free"],
    ),
    "chains on a model without a noise-level guide": (
        {"dlg": {}},
        "dlg",
        ["file:random", "no noise-level guide"],
    ),
    "a split solver without guidance": ({"solver": "ltsp1"}, "guidance", ["ltsp1", "classifier"]),
    "an option that the solver lacks": (
        {"solver_options": {"eta": 0.5}},
        "solver_options.eta",
        ["allowed: none"],
    ),
    "an option out of range": (
        {"solver": "ddpm", "solver_options": {"eta": 1.5}},
        "solver_options.eta",
        ["1.5", "0 to 1"],
    ),
    "an option of a wrong type": (
        {"solver": "ddpm", "solver_options": {"eta": "much"}},
        "solver_options.eta",
        ["'much'"],
    ),
    "an option as an object": (
        {"solver": "ddpm", "solver_options": {"eta": {}}},
        "solver_options.eta",
        ["{}"],
    ),
    "one bad value of a step": (
        {"solver": "dpm-solver++-2m", "solver_options": {"order": [1, 2, 3]}},
        "solver_options.order[2]",
        ["3", "1 to 2"],
    ),
    "values for another number of steps": (
        {"solver": "dpm-solver++-2m", "solver_options": {"order": [1, 2]}},
        "solver_options.order",
        ["2 values", "3"],
    ),
    "options as a list": ({"solver_options": ["eta"]}, "solver_options", ["eta"]),
    "an option that cannot be searched": (
        {"search_options": ["eta"]},
        "search_options[0]",
        ["eta", "allowed: none"],
    ),
    "a searched option as a number": ({"search_options": [3]}, "search_options[0]", ["3"]),
    "pruning as a truth value": ({"pruning": True}, "pruning", ["True", "dictionary"]),
    "an unknown field of pruning": (
        {"pruning": {"speed": 2}},
        "pruning.speed",
        ["pruning.speed=2", "allowed", "max_saving"],
    ),
    "more than the full cost": ({"pruning": {"cost": 1.5}}, "pruning.cost", ["cost=1.5", "1"]),
    "a cost that nothing meets": (
        {"pruning": {"cost": 0.1}},
        "pruning.cost",
        ["pruning.cost=0.1", "file:random", "allowed: 0.19"],
    ),
    "a cost that nothing meets with all its bodies": (
        {"pruning": {"cost": 0.4, "remove": False}},
        "pruning.cost",
        ["pruning.cost=0.4", "without removing bodies", "allowed: 0.59"],
    ),
    "pruning with chains": ({"pruning": {}, "dlg": {}}, "pruning", ["dlg"]),
    "pruning in random search": (
        {"pruning": {}, "strategy": "random"},
        "pruning",
        ["'evolution' or 'paper'"],
    ),
    "too large a document": ({"initial_times": [[3, 2, 1]] * 65}, "initial_times", ["64"]),
}

# Bodies as bytes; the status; what the problem must hold.
WRONG_BODIES: dict[str, tuple[bytes, int, list[str]]] = {
    "NaN": (b'{"guidance_scale": NaN}', 422, ["guidance_scale", "nan", "finite"]),
    "infinity by overflow": (b'{"guidance_scale": 1e999}', 422, ["guidance_scale", "inf"]),
    "NaN inside an invalid field": (b'{"colour": [{"x": NaN}]}', 422, ["colour[0].x", "nan"]),
    "no UTF-8": (b'{"model": "\xff\xfe"}', 400, ["body", "0xff", "UTF-8"]),
    "a lone surrogate": (b'{"model": "\\ud800"}', 422, ["model", "ud800", "surrogate"]),
    "a lone surrogate as a name": (b'{"\\udfff": 1}', 422, ["udfff", "surrogate"]),
    "U+0000": (b'{"nfe": 3, "model": "zoo:\\u0000"}', 422, ["model", "zoo:"]),
    "deep lists": (b"[" * DEEP + b"]" * DEEP, 400, ["body", "deep"]),
    "deep objects": (b'{"a":' * 50 + b"1" + b"}" * 50, 422, ["deep"]),
    "no JSON": (b"model: zoo:digits", 400, ["body", "line 1, column 1"]),
    "two documents": (b"{} {}", 400, ["body", "column 4"]),
    "nothing": (b"", 400, ["body", "JSON"]),
    "a number of many digits": (b'{"nfe": ' + b"9" * 5000 + b"}", 400, ["body", "digits"]),
    "a list": (b"[1]", 422, ["[1]"]),
    "null": (b"null", 422, ["None"]),
    "text": (b'"zoo:digits"', 422, ["zoo:digits"]),
}


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory, model_root: Path) -> Iterator[TestClient]:
    """One service for all of them: none may leave anything behind."""
    folder = tmp_path_factory.mktemp("service")
    settings = Settings.model_validate(
        {"data_dir": folder, "model_roots": (model_root,), "max_calls_budget": 1_000_000}
    )
    engine = open_engine(settings.sqlalchemy_url)
    upgrade(engine)
    engine.dispose()
    with TestClient(create_app(settings)) as client:
        yield client


@pytest.fixture(autouse=True)
def _nothing_is_queued(http: TestClient) -> Iterator[None]:
    yield
    assert http.get("/v1/searches").json() == {"items": [], "next_cursor": None}


@pytest.mark.parametrize("case", WRONG_FIELDS)
def test_a_wrong_field_is_named_with_its_value_and_what_is_allowed(
    http: TestClient, case: str
) -> None:
    change, field, expected = WRONG_FIELDS[case]
    _check(http, json.dumps(SMALL | change).encode(), 422, expected, field=field)


@pytest.mark.parametrize("case", WRONG_BODIES)
def test_a_body_that_is_no_request_is_refused(http: TestClient, case: str) -> None:
    body, status, expected = WRONG_BODIES[case]
    _check(http, body, status, expected)


@pytest.mark.parametrize("is_chunked", [False, True], ids=["announced", "chunked"])
def test_a_body_of_10_mb_is_refused(http: TestClient, is_chunked: bool) -> None:
    body = b'{"model": "' + b"x" * 10_000_000 + b'"}'
    parts = iter([body[:5_000_000], body[5_000_000:]])
    reply = http.post("/v1/searches", content=parts if is_chunked else body, headers=JSON)
    assert reply.status_code == 413, reply.text[:500]
    assert reply.json()["code"] == "body-too-large"
    assert "1048576" in reply.json()["detail"]


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_another_media_type_is_refused(http: TestClient, media_type: str) -> None:
    headers = {"content-type": media_type}
    reply = http.post("/v1/searches", content=json.dumps(SMALL), headers=headers)
    assert reply.status_code == 415, reply.text
    assert "application/json" in reply.json()["detail"]


@pytest.mark.parametrize("content", [b"", pickle.dumps({"w": 1}), b"PK\x03\x04" + b"\1" * 99])
def test_a_checkpoint_that_is_not_safetensors_is_refused_unopened(
    http: TestClient, model_root: Path, content: bytes
) -> None:
    folder = model_root / "pickled"
    folder.mkdir(exist_ok=True)
    card = json.loads((model_root / "random" / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | {"name": "file:pickled"}))
    (folder / "unet.safetensors").write_bytes(content)
    problem = _check(
        http,
        json.dumps(SMALL | {"model": "file:pickled"}).encode(),
        422,
        ["unet.safetensors", "safetensors of float tensors"],
        field="model",
    )
    assert problem["code"] == "unsafe-checkpoint"
    assert "file:pickled" not in http.get("/v1/models").text


@pytest.mark.parametrize("key", ["", "x" * 201, "a\u00e9"])
def test_a_wrong_idempotency_key_is_refused(http: TestClient, key: str) -> None:
    headers = [(b"Idempotency-Key", key.encode("latin-1"))]
    reply = http.post("/v1/searches", json=SMALL, headers=headers)
    assert reply.status_code == 422, reply.text
    assert reply.json()["errors"][0]["field"] == "Idempotency-Key"


def _check(
    http: TestClient, body: bytes, status: int, expected: list[str], *, field: str | None = None
) -> dict[str, JsonValue]:
    reply = http.post("/v1/searches", content=body, headers=JSON)
    assert reply.status_code == status, reply.text[:500]
    assert reply.headers["content-type"] == MEDIA_TYPE
    problem: dict[str, JsonValue] = reply.json()
    detail = str(problem["detail"])
    missing = [part for part in expected if part not in detail]
    assert not missing, f"{missing} not in {detail!r}"
    assert len(detail) < 2_000
    if field is not None:
        assert problem["errors"], detail
        errors = problem["errors"]
        assert isinstance(errors, list)
        assert isinstance(errors[0], dict)
        assert str(errors[0]["field"]).startswith(field)
    return problem
