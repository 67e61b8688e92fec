"""What is stored beside a schedule document, so that it can be found without reading it."""

from __future__ import annotations

from fewstep.request import SearchRequest
from fewstep.schedule import Schedule
from search.driver import SearchResult
from store.records import NewSchedule


def new_schedule(request: SearchRequest, result: SearchResult) -> NewSchedule:
    """The searched schedule with its columns."""
    document = Schedule.from_dict(result.schedule)
    fitness = document.fitness
    return NewSchedule(
        model=request.model,
        reference=str(fitness["reference"]),
        solver=document.solver.name,
        nfe=document.nfe,
        guidance_scale=request.guidance_scale,
        fid=float(fitness["fid"]),
        standard_error=float(fitness["standard_error"]),
        document=result.schedule,
    )
