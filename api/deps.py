"""What routes ask for: the running service's parts, and values of the request, checked."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from fastapi import Depends, Header, Query, Request

from api.events import EventFeed
from fewstep.errors import InvalidInput, NotFound
from store import documents, schedules, searches
from store.engine import Engine
from store.records import PublishedSchedule, Search
from store.settings import Settings

MAX_EVENT_ID = 2**63 - 1
# What a search publishes never changes.
FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Parts:
    """What one process of the service is made of."""

    settings: Settings
    engine: Engine
    feed: EventFeed


def parts_of(request: Request) -> Parts:
    """The parts that `create_app` put together."""
    parts = request.app.state.parts
    assert isinstance(parts, Parts)
    return parts


Service: TypeAlias = Annotated[Parts, Depends(parts_of)]
Limit: TypeAlias = Annotated[int, Query(ge=1, le=200, description="items on one page")]
Cursor: TypeAlias = Annotated[
    str | None, Query(max_length=500, description="`next_cursor` of the page before")
]


def existing_search(search_id: str, service: Service) -> Search:
    """Read the search that the path names; anything but the id of one is not found."""
    return searches.show(service.engine, _canonical_id("search", search_id))


ExistingSearch: TypeAlias = Annotated[Search, Depends(existing_search)]


def existing_schedule(schedule_id: str, service: Service) -> PublishedSchedule:
    """Read the schedule that the path names, likewise."""
    return schedules.get(service.engine, _canonical_id("schedule", schedule_id))


ExistingSchedule: TypeAlias = Annotated[PublishedSchedule, Depends(existing_schedule)]


def _canonical_id(kind: str, given: str) -> str:
    try:
        return str(uuid.UUID(given))
    except ValueError:
        raise NotFound(
            f"{kind} {given[:80]!a} does not exist: ids look like {uuid.UUID(int=0)}",
            field=f"{kind}_id",
        ) from None


def checked_key(
    idempotency_key: Annotated[
        str | None, Header(description="1 to 200 characters; a repetition changes nothing")
    ] = None,
) -> str | None:
    """Refuse a key that logs and databases could not hold as it is."""
    if idempotency_key is not None and not _is_plain(idempotency_key):
        raise InvalidInput(
            f"Idempotency-Key={idempotency_key[:80]!a}: allowed are 1 to 200 printable"
            " ASCII characters",
            field="Idempotency-Key",
        )
    return idempotency_key


IdempotencyKey: TypeAlias = Annotated[str | None, Depends(checked_key)]


def _is_plain(text: str) -> bool:
    return 1 <= len(text) <= 200 and text.isascii() and text.isprintable()


def seen_event(
    last_event_id: Annotated[
        int, Header(ge=0, le=MAX_EVENT_ID, description="replay starts after this event")
    ] = 0,
) -> int:
    """The last event that the client has seen, as browsers send it when they reconnect."""
    return last_event_id


LastEventId: TypeAlias = Annotated[int, Depends(seen_event)]


def stored_text(text: str | None, *, field: str) -> str | None:
    """Pass on text that a database can compare with."""
    return None if text is None else documents.check_text(text, field=field)
