"""The values the store hands out: frozen, plain, without a session behind them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from fewstep.status import EventKind, SearchStatus
from store.documents import Document

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """One search, as it stands."""

    id: str
    created_at: datetime
    updated_at: datetime
    status: SearchStatus
    request: Document
    idempotency_key: str | None
    owner: str | None  # the worker that holds it
    lease_epoch: int  # how often it was claimed
    lease_expires_at: datetime | None
    phase: str | None
    calls_spent: int  # network calls
    calls_budget: int
    best_fid: float | None
    result: Document | None
    error_code: str | None
    error_message: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What a submit came to."""

    search: Search
    is_new: bool  # False: this Idempotency-Key had been used for the same request
    queue_position: int  # searches that will be claimed before it; 0 once it is no longer queued


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to write to a search, until another worker claims it."""

    search_id: str
    owner: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredScore:
    """What a candidate was worth; exactly one of `fid` and `failure` is set."""

    fid: float | None
    failure: str | None
    calls: int

    def __post_init__(self) -> None:
        if (self.fid is None) == (self.failure is None):
            raise ValueError(f"fid={self.fid!r}, failure={self.failure!r}: exactly one must be set")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvaluation:
    """One scored candidate of a search; `seq` is its place in ask order."""

    seq: int
    phase: str
    bank: str
    set_index: int
    num_samples: int
    candidate: Document
    candidate_key: str
    score_key: str
    score: StoredScore
    cached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation(NewEvaluation):
    """An evaluation as stored."""

    search_id: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to a search; ids grow in the order in which events become visible."""

    id: int
    search_id: str
    kind: EventKind
    payload: Document
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleFacts:
    """What is known of a schedule when it is published, and found by."""

    model: str
    reference: str
    solver: str
    nfe: int
    guidance_scale: float
    fid: float
    standard_error: float
    document: Document
    cost_share: float = 1.0  # of the full network's multiply-adds over the schedule
    macs: int | None = None  # multiply-adds of one image over the schedule
    seconds: float | None = None  # of one image, where they were measured


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSchedule(ScheduleFacts):
    """A searched schedule, ready to be published."""

    weights: bytes | None = None  # safetensors that its networks have in place of the model's own


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedSchedule(ScheduleFacts):
    """A schedule as published."""

    id: str
    search_id: str
    point: int  # 0 is the search's best, the others are the rest of its front
    weights_sha256: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontKey:
    """Schedules with the same may be compared by distance and cost."""

    model: str
    checkpoint_sha256: str | None
    reference: str
    guidance: str
    guidance_scale: float
    num_samples: int  # of each report set: the distance of few images is larger


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontPoint:
    """A schedule among those it is compared with."""

    id: str
    search_id: str
    point: int
    solver: str
    nfe: int
    cost: float  # of one image, in passes of the full network
    cost_share: float
    macs: int | None
    seconds: float | None
    fid: float
    standard_error: float
    weights_sha256: str | None
    dominated_by: str | None = None  # id of one that costs no more and is nearer


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """Comparable schedules of all searches, the cheapest first."""

    key: FrontKey
    points: tuple[FrontPoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherCheck:
    """What a full-step model scored that fits its reference."""

    fid: float
    max_fid: float
    num_samples: int
    nfe: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """A part of a list, and where the next one starts."""

    items: list[T]
    next_cursor: str | None
