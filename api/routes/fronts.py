"""Fronts of distance over cost, over the schedules of all searches."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api import examples, openapi
from api.deps import Service, stored_text
from api.models import front_of
from fewstep import wire
from store import documents, fronts

router = APIRouter(prefix="/fronts", tags=["schedules"])


@router.get(
    "",
    operation_id="list_fronts",
    responses={
        **openapi.problems(),
        200: openapi.example("Every front, on one page", examples.page_of(examples.FRONT)),
    },
)
def list_fronts(
    service: Service,
    model: Annotated[str, Query(max_length=200)],
    reference: Annotated[str | None, Query(max_length=200)] = None,
    guidance_scale: Annotated[float | None, Query(ge=0.0, le=50.0)] = None,
) -> wire.Page[wire.Front]:
    """List all schedules of a model, of any number of calls, apart where they do not compare."""
    found = fronts.list_fronts(
        service.engine,
        model=documents.check_text(model, field="model"),
        reference=stored_text(reference, field="reference"),
        guidance_scale=guidance_scale,
    )
    return wire.Page[wire.Front](items=[front_of(front) for front in found])
