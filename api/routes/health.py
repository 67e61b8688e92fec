"""Whether the service can do its work."""

from __future__ import annotations

from fastapi import APIRouter

import fewstep
from api import examples, openapi
from api.deps import Service
from fewstep import wire
from fewstep.status import SearchStatus
from store import searches

router = APIRouter(prefix="/health", tags=["health"])


@router.get(
    "",
    operation_id="show_health",
    responses={
        **openapi.problems(),
        200: openapi.example("The service answers", examples.HEALTH),
    },
)
def show_health(service: Service) -> wire.Health:
    """Answer with the length of the queue, which takes the database too."""
    engine = service.engine
    return wire.Health(
        status="ok",
        version=fewstep.__version__,
        database=engine.dialect.name,
        queued=searches.count(engine, SearchStatus.QUEUED),
        running=searches.count(engine, SearchStatus.RUNNING),
    )
