"""Published schedules: one per search, found by model, solver and number of calls."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import Connection, Engine, Row, select, tuple_

from fewstep.errors import NotFound
from store import cursor as cursors
from store.clock import now
from store.engine import reading
from store.records import NewSchedule, Page, PublishedSchedule
from store.tables import ScheduleRow
from store.upsert import insert_once

# Ids follow from the search, so that the same search publishes the same id wherever it is resumed.
_NAMESPACE = uuid.UUID("6f0d7c1e-5f0b-4c55-9a44-0f6b1d6a52c8")


def publish(connection: Connection, search_id: str, schedule: NewSchedule) -> str:
    """Publish the schedule of a search within the caller's transaction; return its id."""
    schedule_id = str(uuid.uuid5(_NAMESPACE, search_id))
    fields = {name: getattr(schedule, name) for name in NewSchedule.__slots__}
    values = {"id": schedule_id, "search_id": search_id, **fields, "created_at": now()}
    insert_once(connection, ScheduleRow, values, unique=["search_id"])
    return schedule_id


def of_search(engine: Engine, search_id: str) -> PublishedSchedule:
    """Read the schedule of a search. Raises NotFound: it has not published one."""
    query = select(ScheduleRow.__table__).where(ScheduleRow.search_id == search_id)
    with reading(engine) as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound(f"search {search_id!r} has published no schedule", field="id")
    return _schedule(row)


def list_page(
    engine: Engine,
    *,
    model: str | None = None,
    solver: str | None = None,
    nfe: int | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[PublishedSchedule]:
    """List schedules, lowest distance first. Raises InvalidInput on a bad cursor or limit."""
    cursors.check_limit(limit)
    filters = {"model": model, "solver": solver, "nfe": nfe}
    given = {name: value for name, value in filters.items() if value is not None}
    query = select(ScheduleRow.__table__).filter_by(**given)
    if cursor is not None:
        fid, schedule_id = cursors.decode(cursor, ((int, float), str))
        query = query.where(tuple_(ScheduleRow.fid, ScheduleRow.id) > tuple_(fid, schedule_id))
    with reading(engine) as connection:
        ordered = query.order_by(ScheduleRow.fid, ScheduleRow.id)
        rows = connection.execute(ordered.limit(limit + 1)).all()
    items = [_schedule(row) for row in rows[:limit]]
    next_cursor = cursors.encode((items[-1].fid, items[-1].id)) if len(rows) > limit else None
    return Page(items=items, next_cursor=next_cursor)


def best(engine: Engine, *, model: str, solver: str, nfe: int) -> PublishedSchedule | None:
    """Read the schedule with the lowest distance; None if there is none."""
    items = list_page(engine, model=model, solver=solver, nfe=nfe, limit=1).items
    return items[0] if items else None


def _schedule(row: Row[Any]) -> PublishedSchedule:
    names = (*NewSchedule.__slots__, *PublishedSchedule.__slots__)
    return PublishedSchedule(**{name: row._mapping[name] for name in names})
