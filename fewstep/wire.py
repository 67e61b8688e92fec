"""What the service and its clients exchange over HTTP, apart from requests and schedule documents.

Times are ISO 8601 in UTC. Readers ignore fields they do not know, so that an older client keeps
working with a newer service.
"""

from __future__ import annotations

from datetime import datetime
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from fewstep.status import SearchStatus

T = TypeVar("T")


class Wire(BaseModel):
    """Base: immutable, ignores what it does not know."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Page(Wire, Generic[T]):
    """One page of a list; `next_cursor` leads to the next and is null on the last."""

    items: list[T]
    next_cursor: str | None = None


class Failure(Wire):
    """Why a search failed; `code` is one of the codes of `fewstep.errors`."""

    code: str = Field(examples=["teacher-implausible"])
    message: str


class ReportRow(Wire):
    """One schedule on noise that decided nothing; the first row is the searched one.

    `fid` is the mean over the report sets; `difference` is this row minus the searched one, set by
    set on the same noise. All four numbers are null where scoring failed.
    """

    name: str
    solver: str
    times: list[float]
    indices: list[int]
    options: dict[str, JsonValue] = Field(
        default={}, description="options of the solver that are not at their defaults"
    )
    chains: dict[str, JsonValue] | None = Field(
        default=None, description="how images are drawn from chains; null where they are not"
    )
    nfe: int | None = Field(default=None, description="denoiser calls of one image")
    network_calls: int | None = Field(default=None, description="network passes of one image")
    gradient_calls: int | None = Field(default=None, description="gradients of the guide")
    cost: float | None = Field(default=None, description="of one image, in network passes")
    cost_share: float = Field(
        default=1.0, description="of the full network's multiply-adds; 1: not pruned"
    )
    fids: list[float | None]
    failure: str | None = None
    fid: float | None = None
    standard_error: float | None = None
    difference: float | None = None
    difference_error: float | None = None


class Best(Wire):
    """The best candidate after `calls` network calls, as scored with `num_samples` images."""

    calls: int
    fid: float
    num_samples: int


class Report(Wire):
    """What a search found, beside every named grid, and the way there."""

    calls: int = Field(description="network calls of search and selection")
    num_samples: int = Field(description="images per report set")
    sets: int
    rows: list[ReportRow]
    history: list[Best] = []


class Search(Wire):
    """A search and how far it is. `result` is its report, once it has succeeded."""

    id: str
    status: SearchStatus
    created_at: datetime
    updated_at: datetime
    request: dict[str, JsonValue] = Field(description="the request with every default filled in")
    place_in_queue: int | None = Field(default=None, description="1 is next; null unless queued")
    phase: str | None = None
    calls_spent: int = Field(default=0, description="network calls so far")
    calls_budget: int = 0
    best_fid: float | None = Field(
        default=None, description="small-batch FID of the best candidate so far"
    )
    error: Failure | None = None
    result: Report | None = None


class Event(Wire):
    """Something that happened to a search; ids increase."""

    id: int
    search_id: str
    kind: str
    created_at: datetime
    payload: dict[str, JsonValue]


class Evaluation(Wire):
    """One scored candidate of a search, in the order in which it was asked for."""

    seq: int
    phase: str
    bank: str = Field(description="search, selection or report: which noise it was scored on")
    set_index: int
    num_samples: int
    candidate: dict[str, JsonValue]
    candidate_key: str
    fid: float | None = Field(default=None, description="null where scoring failed")
    failure: str | None = None
    calls: int = Field(description="network calls it counts for")
    cached: bool
    created_at: datetime


class ScheduleEntry(Wire):
    """A published schedule; `document` is the file that samplers read."""

    id: str
    search_id: str
    model: str
    reference: str
    solver: str
    nfe: int
    guidance_scale: float
    fid: float = Field(description="mean over the report sets")
    standard_error: float
    num_samples: int = Field(description="images per report set")
    num_sets: int
    created_at: datetime
    document: dict[str, JsonValue]
    point: int = Field(default=0, description="0 is the best of its search, others its front")
    cost_share: float = Field(
        default=1.0, description="of the full network's multiply-adds over the schedule"
    )
    macs: int | None = Field(default=None, description="multiply-adds of one image")
    seconds: float | None = Field(default=None, description="of one image, where measured")
    weights_sha256: str | None = Field(
        default=None, description="of the weights to download; null: it has none of its own"
    )


class FrontPoint(Wire):
    """A schedule among all that it may be compared with."""

    schedule_id: str
    search_id: str
    point: int = Field(description="0 is the best of its search, others its front")
    solver: str
    nfe: int
    cost: float = Field(description="of one image, in passes of the full network")
    cost_share: float = Field(
        description="of the full network's multiply-adds over the schedule; 1: not pruned"
    )
    macs: int | None = Field(default=None, description="multiply-adds of one image")
    seconds: float | None = Field(default=None, description="of one image, where measured")
    fid: float = Field(description="mean over the report sets")
    standard_error: float
    weights_sha256: str | None = None
    dominated_by: str | None = Field(
        default=None, description="a schedule that costs no more and has a lower fid; null: none"
    )


class Front(Wire):
    """Schedules that may be compared, whatever their number of calls, the cheapest first.

    They share all that is said here. Without those that are dominated it is the front.
    """

    model: str
    checkpoint_sha256: str | None = None
    reference: str
    guidance: str
    guidance_scale: float
    num_samples: int = Field(description="images per report set")
    points: list[FrontPoint]


class Model(Wire):
    """A model that can be searched for, as its card describes it."""

    name: str
    process: dict[str, JsonValue]
    prediction: str
    image_shape: tuple[int, int, int] = Field(description="channels, height, width")
    num_classes: int | None = None
    guidance: list[str] = Field(default=["none"], description="kinds that searches may use")
    clip_denoised: bool
    default_reference: str
    references: list[str]
    teacher: dict[str, JsonValue] = Field(description="the full-step sampler searches are gated on")
    measured: dict[str, JsonValue]
    licence: str
    weights_sha256: str

    @property
    def teacher_fids(self) -> dict[str, tuple[float, int]]:
        """FID to the default reference and its number of images, by full-step sampler measured."""
        teachers = self.measured.get("teachers")
        found = {}
        for name, figures in teachers.items() if isinstance(teachers, dict) else ():
            match figures:
                case {"fid": dict(fids), "num_samples": int(count)}:
                    fid = fids.get(self.default_reference)
                    if isinstance(fid, int | float):
                        found[name] = (float(fid), count)
        return found

    @property
    def teacher_fid(self) -> float | None:
        """Measured FID of the sampler that searches are gated on, if the card states it."""
        name = f"{self.teacher.get('solver')}, {self.teacher.get('nfe')} calls"
        return self.teacher_fids.get(name, (None, 0))[0]


class Health(Wire):
    """Whether the service can do its work."""

    status: str = Field(examples=["ok"])
    version: str
    database: str = Field(examples=["sqlite"])
    queued: int
    running: int
