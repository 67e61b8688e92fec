"""Published schedules, of all searches."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Response

from api import examples, openapi
from api.deps import FOREVER, Cursor, ExistingSchedule, Limit, Service, stored_text
from api.models import schedule_entry_of
from fewstep import wire
from fewstep.errors import NotFound
from fewstep.request import MAX_NFE
from fewstep.solvers import SOLVERS, canonical_name
from store import artifacts, schedules

router = APIRouter(prefix="/schedules", tags=["schedules"])


@router.get(
    "",
    operation_id="list_schedules",
    responses={
        **openapi.problems(),
        200: openapi.example("One page, best first", examples.page_of(examples.SCHEDULE_ENTRY)),
    },
)
def list_schedules(
    service: Service,
    model: Annotated[str | None, Query(max_length=200)] = None,
    nfe: Annotated[int | None, Query(ge=1, le=MAX_NFE)] = None,
    solver: Annotated[str | None, Query(max_length=100)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> wire.Page[wire.ScheduleEntry]:
    """List schedules, lowest reported FID first, with its standard error and sample counts."""
    page = schedules.list_page(
        service.engine,
        model=stored_text(model, field="model"),
        nfe=nfe,
        solver=_canonical(solver),
        limit=limit,
        cursor=cursor,
    )
    items = [schedule_entry_of(schedule) for schedule in page.items]
    return wire.Page[wire.ScheduleEntry](items=items, next_cursor=page.next_cursor)


@router.get(
    "/{schedule_id}/weights",
    operation_id="download_weights",
    response_class=Response,
    responses={
        **openapi.problems(404),
        200: {"description": "A safetensors file; its SHA-256 is the ETag",
              "content": {"application/octet-stream": {"schema": openapi.BINARY}}},
        304: {"description": "You have it already"},
    },
)  # fmt: skip
def download_weights(
    schedule: ExistingSchedule,
    service: Service,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Download the weights that a schedule's pruned networks have in place of the model's."""
    if schedule.weights_sha256 is None:
        raise NotFound(
            f"schedule {schedule.id} has no weights of its own: it runs those of {schedule.model}",
            field="schedule_id",
        )
    headers = {"ETag": f'"{schedule.weights_sha256}"', "Cache-Control": FOREVER}
    if if_none_match == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    content = artifacts.get(service.engine, schedule.weights_sha256)
    return Response(content, headers=headers, media_type="application/octet-stream")


def _canonical(solver: str | None) -> str | None:
    """The one name of a solver; unknown ones are refused with the names there are."""
    return None if solver is None else SOLVERS.get(canonical_name(solver), field="solver").name
