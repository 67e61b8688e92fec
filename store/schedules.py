"""Published schedules: the front of each search, found by model, solver and number of calls."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Row, select, tuple_

from fewstep.errors import NotFound
from store import artifacts
from store import cursor as cursors
from store.clock import now
from store.engine import reading
from store.records import NewSchedule, Page, PublishedSchedule, ScheduleFacts
from store.tables import ScheduleRow
from store.upsert import insert_once

# Ids follow from the search, so that the same search publishes the same id wherever it is resumed.
_NAMESPACE = uuid.UUID("6f0d7c1e-5f0b-4c55-9a44-0f6b1d6a52c8")


def publish(connection: Connection, search_id: str, points: Sequence[NewSchedule]) -> list[str]:
    """Publish the schedules of a search within the caller's transaction, and their weights.

    The best is first. Returns their ids.
    """
    if not points:
        raise ValueError("points: none; a search that succeeds has a schedule")
    return [_publish_one(connection, search_id, i, new) for i, new in enumerate(points)]


def _publish_one(connection: Connection, search_id: str, point: int, new: NewSchedule) -> str:
    schedule_id = _id(search_id, point)
    weights = None if new.weights is None else artifacts.put_in(connection, new.weights)
    values = {
        **{name: getattr(new, name) for name in ScheduleFacts.__slots__},
        "id": schedule_id,
        "search_id": search_id,
        "point": point,
        "weights_sha256": weights,
        "created_at": now(),
    }
    insert_once(connection, ScheduleRow, values, unique=["search_id", "point"])
    return schedule_id


def _id(search_id: str, point: int) -> str:
    """The best has the search's own, as it had when searches published one schedule."""
    return str(uuid.uuid5(_NAMESPACE, f"{search_id}/{point}" if point else search_id))


def get(engine: Engine, schedule_id: str) -> PublishedSchedule:
    """Read one schedule. Raises NotFound."""
    query = select(ScheduleRow.__table__).where(ScheduleRow.id == schedule_id)
    with reading(engine) as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound(f"schedule {schedule_id} does not exist", field="schedule_id")
    return _schedule(row)


def of_search(engine: Engine, search_id: str, point: int = 0) -> PublishedSchedule:
    """Read a schedule of a search, its best if nothing is said. Raises NotFound."""
    query = select(ScheduleRow.__table__).where(ScheduleRow.search_id == search_id)
    with reading(engine) as connection:
        row = connection.execute(query.where(ScheduleRow.point == point)).one_or_none()
    if row is None:
        raise NotFound(
            f"search {search_id!r} has published no schedule{f' {point}' if point else ''}",
            field="point" if point else "id",
        )
    return _schedule(row)


def front_of_search(engine: Engine, search_id: str) -> list[PublishedSchedule]:
    """Read all schedules of a search, the best first; none before it has succeeded."""
    query = select(ScheduleRow.__table__).where(ScheduleRow.search_id == search_id)
    with reading(engine) as connection:
        rows = connection.execute(query.order_by(ScheduleRow.point)).all()
    return [_schedule(row) for row in rows]


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
    names = (*ScheduleFacts.__slots__, *PublishedSchedule.__slots__)
    return PublishedSchedule(**{name: row._mapping[name] for name in names})
