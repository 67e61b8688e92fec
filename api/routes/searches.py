"""Searches: submit, list, show, cancel."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from api import examples, openapi
from api.deps import Cursor, ExistingSearch, IdempotencyKey, Limit, Service
from api.models import search_of
from api.strict_json import check_media_type, parse_json
from api.submission import check_submission
from fewstep import wire
from fewstep.status import SearchStatus
from store import searches
from store.records import Search

router = APIRouter(prefix="/searches", tags=["searches"])


async def _document(request: Request) -> object:
    """Read the body by ourselves: FastAPI's reader lets NaN and lone surrogates through."""
    check_media_type(request.headers)
    return parse_json(await request.body())


@router.post(
    "",
    operation_id="submit_search",
    status_code=202,
    responses={**openapi.problems(409, 415, 429), 202: openapi.example("Queued", examples.SEARCH)},
    openapi_extra=openapi.json_body("SearchRequest"),
)
def submit(
    document: Annotated[object, Depends(_document)],
    key: IdempotencyKey,
    service: Service,
    response: Response,
) -> wire.Search:
    """Queue a search; a repetition under the same Idempotency-Key returns the first one."""
    request = check_submission(document, service.settings)
    submission = searches.submit(
        service.engine,
        request=request.resolved(),
        calls_budget=request.budget,
        max_queued=service.settings.max_queued_searches,
        idempotency_key=key,
    )
    response.headers["Location"] = f"/v1/searches/{submission.search.id}"
    return search_of(submission.search, submission.queue_position)


@router.get(
    "",
    operation_id="list_searches",
    responses={
        **openapi.problems(),
        200: openapi.example("One page, newest first", examples.page_of(examples.SEARCH)),
    },
)
def list_searches(
    service: Service,
    limit: Limit = 50,
    cursor: Cursor = None,
    status: SearchStatus | None = None,
) -> wire.Page[wire.Search]:
    """List searches, newest first."""
    page = searches.list_page(service.engine, limit=limit, cursor=cursor, status=status)
    items = [_standing(search, service) for search in page.items]
    return wire.Page[wire.Search](items=items, next_cursor=page.next_cursor)


@router.get(
    "/{search_id}",
    operation_id="show_search",
    responses={**openapi.problems(404), 200: openapi.example("The search", examples.SEARCH)},
)
def show(search: ExistingSearch, service: Service) -> wire.Search:
    """Show a search as it stands, with its report once it has succeeded."""
    return _standing(search, service)


@router.post(
    "/{search_id}/cancel",
    operation_id="cancel_search",
    responses={
        **openapi.problems(404, 409),
        200: openapi.example("The search, cancelled", examples.SEARCH | {"status": "cancelled"}),
    },
)
def cancel(search: ExistingSearch, _key: IdempotencyKey, service: Service) -> wire.Search:
    """Cancel a search that waits or runs. Repeating it is safe, with or without a key."""
    return search_of(searches.cancel(service.engine, search.id), 0)


def _standing(search: Search, service: Service) -> wire.Search:
    return search_of(search, searches.queue_position(service.engine, search))
