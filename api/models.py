"""From what the store and the model registry hold to what goes over the wire."""

from __future__ import annotations

from dataclasses import asdict

from fewstep import wire
from fewstep.networks.card import ModelCard
from fewstep.networks.guidance import kinds_of_guidance
from fewstep.status import SearchStatus
from store import records


def search_of(record: records.Search, queue_position: int) -> wire.Search:
    """A search; `queue_position` counts the searches before it."""
    is_queued = record.status is SearchStatus.QUEUED
    failure = None
    if record.error_code is not None:
        failure = wire.Failure(code=record.error_code, message=record.error_message or "")
    return wire.Search.model_validate(
        {
            "id": record.id,
            "status": record.status.value,
            "created_at": record.created_at,
            "updated_at": record.updated_at,
            "request": record.request,
            "place_in_queue": queue_position + 1 if is_queued else None,
            "phase": record.phase,
            "calls_spent": record.calls_spent,
            "calls_budget": record.calls_budget,
            "best_fid": record.best_fid,
            "error": failure,
            "result": record.result,
        }
    )


def event_of(record: records.Event) -> wire.Event:
    """An event."""
    return wire.Event.model_validate(
        {
            "id": record.id,
            "search_id": record.search_id,
            "kind": record.kind.value,
            "created_at": record.created_at,
            "payload": record.payload,
        }
    )


def evaluation_of(record: records.Evaluation) -> wire.Evaluation:
    """An evaluation; its score becomes three fields."""
    return wire.Evaluation.model_validate(
        {
            "seq": record.seq,
            "phase": record.phase,
            "bank": record.bank,
            "set_index": record.set_index,
            "num_samples": record.num_samples,
            "candidate": record.candidate,
            "candidate_key": record.candidate_key,
            "fid": record.score.fid,
            "failure": record.score.failure,
            "calls": record.score.calls,
            "cached": record.cached,
            "created_at": record.created_at,
        }
    )


def schedule_entry_of(record: records.PublishedSchedule) -> wire.ScheduleEntry:
    """A published schedule; its sample counts are in the document's fitness."""
    fitness = record.document["fitness"]
    assert isinstance(fitness, dict), "only validated documents are published"
    return wire.ScheduleEntry.model_validate(
        {
            "id": record.id,
            "search_id": record.search_id,
            "model": record.model,
            "reference": record.reference,
            "solver": record.solver,
            "nfe": record.nfe,
            "guidance_scale": record.guidance_scale,
            "fid": record.fid,
            "standard_error": record.standard_error,
            "num_samples": fitness["num_samples"],
            "num_sets": fitness["sets"],
            "created_at": record.created_at,
            "document": record.document,
            "point": record.point,
            "cost_share": record.cost_share,
            "macs": record.macs,
            "seconds": record.seconds,
            "weights_sha256": record.weights_sha256,
        }
    )


def front_of(record: records.Front) -> wire.Front:
    """Comparable schedules."""
    points = [asdict(point) for point in record.points]
    for point in points:
        point["schedule_id"] = point.pop("id")
    return wire.Front.model_validate(asdict(record.key) | {"points": points})


def model_of(card: ModelCard) -> wire.Model:
    """A model as its card describes it, without the weights' layout."""
    return wire.Model.model_validate(
        {
            "name": card.name,
            "process": card.process,
            "prediction": card.prediction,
            "image_shape": card.image_shape,
            "num_classes": card.num_classes,
            "guidance": kinds_of_guidance(card),
            "clip_denoised": card.clip_denoised,
            "default_reference": card.default_reference,
            "references": sorted(card.references),
            "teacher": card.teacher,
            "measured": card.measured,
            "licence": card.licence,
            "weights_sha256": card.weights_sha256,
        }
    )
