"""What a search brings forth: its events, its candidates, its schedules."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from api import examples, openapi
from api.deps import FOREVER, Cursor, ExistingSearch, LastEventId, Limit, Service
from api.models import evaluation_of, event_of, front_of
from fewstep import wire
from fewstep.errors import Conflict
from fewstep.request_pruning import MAX_POINTS
from fewstep.schedule import Schedule
from fewstep.status import SearchStatus
from store import documents, evaluations, fronts, schedules
from store.records import Search

router = APIRouter(prefix="/searches/{search_id}", tags=["searches"])


class CandidateOrder(StrEnum):
    """How candidates are listed."""

    ASKED = "asked"
    BEST = "best"


async def _room(service: Service) -> None:
    service.feed.check_room()


@router.get(
    "/events",
    operation_id="follow_search",
    response_class=EventSourceResponse,
    dependencies=[Depends(_room)],
    responses={
        **openapi.problems(404, 429),
        200: {"description": "Server-sent events; the data of each is like the example",
              "content": {"text/event-stream": {"example": json.dumps(examples.EVENT)}}},
    },
)  # fmt: skip
async def follow(
    search: ExistingSearch, last_event_id: LastEventId, service: Service
) -> AsyncIterator[ServerSentEvent]:
    """Follow a search up to its last event; after a break, go on from `Last-Event-ID`."""
    async for event in service.feed.follow(search.id, last_event_id):
        yield ServerSentEvent(data=event_of(event), event=event.kind.value, id=str(event.id))


@router.get(
    "/candidates",
    operation_id="list_candidates",
    responses={
        **openapi.problems(404),
        200: openapi.example("One page", examples.page_of(examples.EVALUATION)),
    },
)
def list_candidates(
    search: ExistingSearch,
    service: Service,
    order: CandidateOrder = CandidateOrder.ASKED,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> wire.Page[wire.Evaluation]:
    """List every evaluation in ask order, or each candidate once, best first."""
    listed = evaluations.list_page if order is CandidateOrder.ASKED else evaluations.list_ranked
    page = listed(service.engine, search.id, limit=limit, cursor=cursor)
    items = [evaluation_of(evaluation) for evaluation in page.items]
    return wire.Page[wire.Evaluation](items=items, next_cursor=page.next_cursor)


@router.get(
    "/schedule",
    operation_id="download_schedule",
    response_model=Schedule,
    responses={**openapi.problems(404, 409), 304: {"description": "You have it already"}},
)
def download_schedule(
    search: ExistingSearch,
    service: Service,
    if_none_match: Annotated[str | None, Header()] = None,
    point: Annotated[int, Query(ge=0, lt=MAX_POINTS, description="of its front; 0: best")] = 0,
) -> Response:
    """Download a schedule document of a search that has succeeded. It never changes."""
    _check_succeeded(search)
    document = schedules.of_search(service.engine, search.id, point).document
    headers = {"ETag": f'"{documents.document_hash(document)}"', "Cache-Control": FOREVER}
    if if_none_match == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    text = json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n"
    return Response(text, headers=headers, media_type="application/json")


@router.get(
    "/front",
    operation_id="show_front",
    responses={**openapi.problems(404, 409), 200: openapi.example("Its front", examples.FRONT)},
)
def show_front(search: ExistingSearch, service: Service) -> wire.Front:
    """Show every schedule of a search that has succeeded, its best first.

    Each is compared with those of all searches.
    """
    _check_succeeded(search)
    return front_of(fronts.of_search(service.engine, search.id))


def _check_succeeded(search: Search) -> None:
    if search.status is SearchStatus.SUCCEEDED:
        return
    reason = f" ({search.error_code}: {search.error_message})" if search.error_code else ""
    raise Conflict(
        f"search {search.id} is {search.status}{reason}: a schedule exists once a search has"
        " succeeded"
    )
