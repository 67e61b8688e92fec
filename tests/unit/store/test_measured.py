"""Measurements and artifacts: stored once by content; on SQLite and on Postgres."""

from __future__ import annotations

import hashlib

import pytest
from sqlalchemy import Engine

from fewstep.errors import NotFound
from store import artifacts, measurements

VALUES: tuple[object, ...] = (
    {"rankings": {"input_blocks.1.0": [3, 0, 2, 1]}, "errors": [0.1 + 0.2, 5e-324]},
    [1, 2.5, "three", None],
    0.1 + 0.2,
    12.0,
    7,
    "text",
    True,
)


@pytest.mark.parametrize("value", VALUES, ids=str)
def test_a_measurement_comes_back_as_it_was(store_engine: Engine, value: object) -> None:
    assert measurements.put(store_engine, "key", "survey", value)
    assert measurements.find(store_engine, ["key", "unknown"]) == {"key": value}


def test_the_first_measurement_stays(store_engine: Engine) -> None:
    assert measurements.put(store_engine, "key", "seconds", 0.25)
    assert not measurements.put(store_engine, "key", "seconds", 0.5)
    assert measurements.find(store_engine, ["key"]) == {"key": 0.25}


def test_thousands_of_measurements_are_looked_up_at_once(store_engine: Engine) -> None:
    measurements.put(store_engine, "k-3999", "seconds", 0.25)
    assert measurements.find(store_engine, [f"k-{i}" for i in range(4000)]) == {"k-3999": 0.25}
    assert measurements.find(store_engine, []) == {}


def test_an_artifact_is_stored_once_under_its_hash(store_engine: Engine) -> None:
    content = bytes(range(256)) * 4000
    sha256 = artifacts.put(store_engine, content)
    assert sha256 == hashlib.sha256(content).hexdigest()
    assert artifacts.put(store_engine, content) == sha256
    assert artifacts.get(store_engine, sha256) == content


def test_an_unknown_artifact_is_not_found(store_engine: Engine) -> None:
    with pytest.raises(NotFound, match="artifact 0000"):
        artifacts.get(store_engine, "0" * 64)
