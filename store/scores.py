"""Scores by content: computed once, then read by every search that asks the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Row, select

from store.clock import now
from store.engine import reading, writing
from store.records import StoredScore
from store.tables import ScoreRow
from store.upsert import insert_once

# Well below the number of parameters that either database takes in one statement.
KEYS_PER_QUERY = 500


def known(engine: Engine, keys: Sequence[str]) -> dict[str, StoredScore]:
    """Look up which of the keys have a score."""
    found: dict[str, StoredScore] = {}
    with reading(engine) as connection:
        for start in range(0, len(keys), KEYS_PER_QUERY):
            some = keys[start : start + KEYS_PER_QUERY]
            query = select(ScoreRow.__table__).where(ScoreRow.score_key.in_(some))
            found |= {row.score_key: as_score(row) for row in connection.execute(query)}
    return found


def put(engine: Engine, key: str, score: StoredScore) -> bool:
    """Store a score unless there is one; say whether it was stored. The first write stays."""
    with writing(engine) as connection:
        return put_in(connection, key, score)


def put_in(connection: Connection, key: str, score: StoredScore) -> bool:
    """As `put`, within the caller's transaction."""
    values = {"score_key": key, **score_columns(score), "created_at": now()}
    return insert_once(connection, ScoreRow, values, unique=["score_key"])


def score_columns(score: StoredScore) -> dict[str, object]:
    """The columns that scores and evaluations share."""
    return {"fid": score.fid, "failure": score.failure, "calls": score.calls}


def as_score(row: Row[Any]) -> StoredScore:
    """Read those columns back."""
    return StoredScore(fid=row.fid, failure=row.failure, calls=row.calls)
