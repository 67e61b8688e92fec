"""Searches: submit, list, show, cancel."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, func, select, tuple_

from fewstep.errors import Conflict, InvalidInput, NotFound, TooMany
from fewstep.status import EventKind, SearchStatus
from store import cursor as cursors
from store import events, lease_sql
from store.clock import now
from store.documents import Document, check_document, check_text, document_hash
from store.engine import reading, writing
from store.records import Page, Search, Submission
from store.tables import SearchRow
from store.upsert import insert_once

_MAX_KEY = 200


def submit(
    engine: Engine,
    *,
    request: Document,
    calls_budget: int,
    max_queued: int,
    idempotency_key: str | None = None,
) -> Submission:
    """Queue a search; with a key that was used before, return the search that it made.

    Raises:
        Conflict: the key was used for another request.
        TooMany: `max_queued` searches wait already.
        InvalidInput: text that a database cannot hold, or a key of the wrong length.
    """
    check_document(request, field="request")
    _check_key(idempotency_key)
    values = _new_row(request, calls_budget, idempotency_key)
    with writing(engine) as connection:
        search_id = str(values["id"])
        is_new = insert_once(connection, SearchRow, values, unique=["idempotency_key"])
        if is_new:
            _refuse_overfull(connection, max_queued)
            events.append(connection, search_id, EventKind.QUEUED, {})
            search = _get(connection, search_id)
        else:
            search = _repeated(connection, str(idempotency_key), str(values["request_hash"]))
        return Submission(
            search=search, is_new=is_new, queue_position=_position(connection, search)
        )


def show(engine: Engine, search_id: str) -> Search:
    """Read one search. Raises NotFound."""
    with reading(engine) as connection:
        return _get(connection, search_id)


def queue_position(engine: Engine, search: Search) -> int:
    """Count the searches that will be claimed before it; 0 once it is no longer queued."""
    with reading(engine) as connection:
        return _position(connection, search)


def count(engine: Engine, status: SearchStatus) -> int:
    """Count the searches in one state."""
    with reading(engine) as connection:
        return _count(connection, status)


def list_page(
    engine: Engine,
    *,
    limit: int = 50,
    cursor: str | None = None,
    status: SearchStatus | None = None,
) -> Page[Search]:
    """List searches, newest first. Raises InvalidInput on a cursor or limit that is not allowed."""
    cursors.check_limit(limit)
    query = select(SearchRow.__table__)
    if status is not None:
        query = query.where(SearchRow.status == status.value)
    if cursor is not None:
        query = query.where(tuple_(SearchRow.created_at, SearchRow.id) < _position_key(cursor))
    query = query.order_by(SearchRow.created_at.desc(), SearchRow.id.desc())
    return _read_page(engine, query, limit)


def cancel(engine: Engine, search_id: str) -> Search:
    """Cancel a search that waits or runs; one that is cancelled already stays so.

    Raises:
        NotFound: there is none.
        Conflict: it has ended; the message says how.
    """
    with writing(engine) as connection:
        statement = lease_sql.prepare(connection, lease_sql.CANCEL)
        changed = connection.execute(statement, {"search_id": search_id}).rowcount == 1
        search = _get(connection, search_id)
        if changed:
            events.append(connection, search_id, EventKind.CANCELLED, {})
        elif search.status is not SearchStatus.CANCELLED:
            raise Conflict(
                f"search {search_id} is {search.status}: "
                "only queued or running ones can be cancelled"
            )
        return search


def _check_key(key: str | None) -> None:
    if key is None:
        return
    check_text(key, field="Idempotency-Key")
    if not 1 <= len(key) <= _MAX_KEY:
        raise InvalidInput(
            f"Idempotency-Key has {len(key)} characters: allowed are 1 to {_MAX_KEY}",
            field="Idempotency-Key",
        )


def _new_row(request: Document, calls_budget: int, key: str | None) -> dict[str, object]:
    return {
        "id": str(uuid.uuid4()),
        "created_at": now(),
        "updated_at": now(),
        "status": SearchStatus.QUEUED.value,
        "request": request,
        "request_hash": document_hash(request),
        "idempotency_key": key,
        "lease_epoch": 0,
        "calls_spent": 0,
        "calls_budget": calls_budget,
    }


def _refuse_overfull(connection: Connection, max_queued: int) -> None:
    # Counted with the new row: concurrent submits can overshoot by their own number, no more.
    if _count(connection, SearchStatus.QUEUED) > max_queued:
        raise TooMany(f"{max_queued} searches wait already, the most allowed: try again later")


def _repeated(connection: Connection, key: str, request_hash: str) -> Search:
    """The search that this key made, if the request is the same."""
    row = connection.execute(
        select(SearchRow.__table__).where(SearchRow.idempotency_key == key)
    ).one()
    if row.request_hash != request_hash:
        raise Conflict(
            f"Idempotency-Key {key!r} was used for another request, search {row.id}: "
            "send the same request or take a new key",
            field="Idempotency-Key",
        )
    return _search(row)


def _get(connection: Connection, search_id: str) -> Search:
    row = connection.execute(
        select(SearchRow.__table__).where(SearchRow.id == search_id)
    ).one_or_none()
    if row is None:
        raise NotFound(f"search {search_id!r} does not exist", field="id")
    return _search(row)


def _count(connection: Connection, status: SearchStatus) -> int:
    query = select(func.count()).select_from(SearchRow).where(SearchRow.status == status.value)
    return connection.execute(query).scalar_one()


def _position(connection: Connection, search: Search) -> int:
    if search.status is not SearchStatus.QUEUED:
        return 0
    earlier = tuple_(SearchRow.created_at, SearchRow.id) < tuple_(search.created_at, search.id)
    query = select(func.count()).select_from(SearchRow)
    query = query.where(SearchRow.status == SearchStatus.QUEUED.value, earlier)
    return connection.execute(query).scalar_one()


def _position_key(cursor: str) -> Any:  # SQLAlchemy's type of a row value names its parts
    created_at, search_id = cursors.decode(cursor, (str, str))
    try:
        parsed = datetime.fromisoformat(str(created_at))
    except ValueError as error:
        raise InvalidInput(f"cursor={cursor!r} is not one of this list", field="cursor") from error
    return tuple_(parsed, check_text(str(search_id), field="cursor"))


def _read_page(engine: Engine, query: Select[Any], limit: int) -> Page[Search]:
    with reading(engine) as connection:
        rows = connection.execute(query.limit(limit + 1)).all()  # one more: is there a next page?
    items = [_search(row) for row in rows[:limit]]
    if len(rows) <= limit:
        return Page(items=items, next_cursor=None)
    last = items[-1]
    return Page(items=items, next_cursor=cursors.encode((last.created_at.isoformat(), last.id)))


def _search(row: Row[Any]) -> Search:
    fields = {name: row._mapping[name] for name in Search.__slots__}
    return Search(**fields | {"status": SearchStatus(row.status)})
