"""Measurements by content: made once, then read as data, so that a resumed search sees the same."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine, select

from store.clock import now
from store.engine import reading, writing
from store.scores import KEYS_PER_QUERY
from store.tables import MeasurementRow
from store.upsert import insert_once


def find(engine: Engine, keys: Sequence[str]) -> dict[str, object]:
    """Look up which of the keys have a value."""
    found: dict[str, object] = {}
    with reading(engine) as connection:
        for start in range(0, len(keys), KEYS_PER_QUERY):
            some = keys[start : start + KEYS_PER_QUERY]
            query = select(MeasurementRow.key, MeasurementRow.value)
            rows = connection.execute(query.where(MeasurementRow.key.in_(some)))
            found |= {row.key: row.value for row in rows}
    return found


def put(engine: Engine, key: str, kind: str, value: object) -> bool:
    """Store a JSON value other than null unless there is one; say whether it was stored.

    The first write stays: whoever did not store its own goes on with what `find` returns.
    """
    values = {"key": key, "kind": kind, "value": value, "created_at": now()}
    with writing(engine) as connection:
        return insert_once(connection, MeasurementRow, values, unique=["key"])
