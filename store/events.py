"""What happened to a search: appended in the transaction that made it happen, read by last id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Row, insert, select, text

from fewstep.status import EventKind
from store.clock import now
from store.documents import Document
from store.engine import reading
from store.records import Event
from store.tables import EventRow

# Any number that nothing else in this database uses.
_EVENTS_LOCK = 0x66657773
# Postgres hands out ids before the commit: without it a reader could see id 8 before id 7, remember
# 8 and never see 7. Held to the end of the transaction, and taken after any row lock.
_SERIALISE = text("SELECT pg_advisory_xact_lock(:lock)")


def append(connection: Connection, search_id: str, kind: EventKind, payload: Document) -> None:
    """Add an event, as the last statement of its transaction."""
    if connection.dialect.name == "postgresql":
        connection.execute(_SERIALISE, {"lock": _EVENTS_LOCK})
    values = {"search_id": search_id, "kind": kind.value, "payload": payload, "created_at": now()}
    connection.execute(insert(EventRow).values(values))


def after(
    engine: Engine, last_id: int, *, search_id: str | None = None, limit: int = 500
) -> Sequence[Event]:
    """Read at most `limit` events with ids above `last_id`, oldest first; of one search or of all.

    What it returns is complete: no event with a lower id appears later.
    """
    query = select(EventRow.__table__).where(EventRow.id > last_id)
    if search_id is not None:
        query = query.where(EventRow.search_id == search_id)
    with reading(engine) as connection:
        rows = connection.execute(query.order_by(EventRow.id).limit(limit)).all()
    return [_event(row) for row in rows]


def last_id(engine: Engine) -> int:
    """Id of the newest event; 0 before the first."""
    query = select(EventRow.id).order_by(EventRow.id.desc()).limit(1)
    with reading(engine) as connection:
        return connection.execute(query).scalar() or 0


def _event(row: Row[Any]) -> Event:
    return Event(
        id=row.id,
        search_id=row.search_id,
        kind=EventKind(row.kind),
        payload=row.payload,
        created_at=row.created_at,
    )
