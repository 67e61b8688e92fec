"""What is stored beside a schedule document, so that it can be found without reading it."""

from __future__ import annotations

from fewstep.request import SearchRequest
from fewstep.schedule import Schedule
from search.found import FoundSchedule, SearchResult
from store.records import NewSchedule


def new_schedules(request: SearchRequest, result: SearchResult) -> list[NewSchedule]:
    """The found schedules with their columns, the best first."""
    return [_new_schedule(request, found) for found in result.schedules]


def _new_schedule(request: SearchRequest, found: FoundSchedule) -> NewSchedule:
    document = Schedule.from_dict(found.document)
    fitness, section = document.fitness, document.architecture
    return NewSchedule(
        model=request.model,
        reference=str(fitness["reference"]),
        solver=document.solver.name,
        nfe=document.nfe,
        guidance_scale=request.guidance_scale,
        fid=float(fitness["fid"]),
        standard_error=float(fitness["standard_error"]),
        document=found.document,
        cost_share=1.0 if section is None else section.share,
        macs=None if section is None else section.macs,
        seconds=found.seconds,
        weights=found.weights,
    )
