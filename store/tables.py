"""The tables. Filtered and plotted values are typed columns; documents are JSON (or jsonb)."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from fewstep.status import EventKind, SearchStatus
from store.clock import UtcDateTime
from store.documents import Document

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
_JSON = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
# SQLite counts only in a column declared INTEGER.
_SERIAL = BigInteger().with_variant(Integer(), "sqlite")
# The searches a worker may have to look at: few, however many have ended. The claim statement
# repeats this condition word for word, or SQLite would not use the index.
OPEN_SEARCHES = "status IN ('queued', 'running')"


def _one_of(column: str, words: type[SearchStatus] | type[EventKind]) -> str:
    return f"{column} IN ({', '.join(repr(word.value) for word in words)})"


class Base(DeclarativeBase):
    """Common metadata; constraint names are fixed so that migrations can name them."""

    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map: ClassVar[dict[object, object]] = {
        datetime: UtcDateTime(),
        float: Double(),
        Document: _JSON,
    }


class SearchRow(Base):
    """One search: its request, its state, the lease of the worker that runs it, its result."""

    __tablename__ = "searches"
    __table_args__ = (
        CheckConstraint(_one_of("status", SearchStatus), name="status"),
        Index("ix_searches_created_at_id", "created_at", "id"),
        Index(
            "ix_searches_open",
            "created_at",
            "id",
            sqlite_where=text(OPEN_SEARCHES),
            postgresql_where=text(OPEN_SEARCHES),
        ),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    status: Mapped[str] = mapped_column(String(16))
    request: Mapped[Document]
    request_hash: Mapped[str] = mapped_column(String(64))
    idempotency_key: Mapped[str | None] = mapped_column(String(200), unique=True)
    owner: Mapped[str | None] = mapped_column(String(200))
    lease_epoch: Mapped[int]
    lease_expires_at: Mapped[datetime | None]
    phase: Mapped[str | None] = mapped_column(String(32))
    calls_spent: Mapped[int] = mapped_column(BigInteger)
    calls_budget: Mapped[int] = mapped_column(BigInteger)
    best_fid: Mapped[float | None]
    result: Mapped[Document | None]
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(Text)


class EvaluationRow(Base):
    """One scored candidate of a search, numbered in ask order."""

    __tablename__ = "evaluations"
    __table_args__ = (Index("ix_evaluations_search_id_score_key", "search_id", "score_key"),)

    search_id: Mapped[str] = mapped_column(ForeignKey("searches.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    phase: Mapped[str] = mapped_column(String(32))
    bank: Mapped[str] = mapped_column(String(16))
    set_index: Mapped[int]
    num_samples: Mapped[int]
    candidate: Mapped[Document]
    candidate_key: Mapped[str] = mapped_column(String(64))
    score_key: Mapped[str] = mapped_column(String(64))
    fid: Mapped[float | None]
    failure: Mapped[str | None] = mapped_column(Text)
    calls: Mapped[int] = mapped_column(BigInteger)
    cached: Mapped[bool]
    created_at: Mapped[datetime]


class ScoreRow(Base):
    """What a candidate was worth, for every search that asks the same again."""

    __tablename__ = "scores"

    score_key: Mapped[str] = mapped_column(String(64), primary_key=True)
    fid: Mapped[float | None]
    failure: Mapped[str | None] = mapped_column(Text)
    calls: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime]


class EventRow(Base):
    """What happened to a search, for whoever watches it."""

    __tablename__ = "events"
    __table_args__ = (
        CheckConstraint(_one_of("kind", EventKind), name="kind"),
        Index("ix_events_search_id_id", "search_id", "id"),
        # An id is never used twice, or a watcher that remembers it would miss events.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(_SERIAL, primary_key=True, autoincrement=True)
    search_id: Mapped[str] = mapped_column(ForeignKey("searches.id"))
    kind: Mapped[str] = mapped_column(String(16))
    payload: Mapped[Document]
    created_at: Mapped[datetime]


class ArtifactRow(Base):
    """Bytes that schedules point to by their hash, such as the repaired weights of a network."""

    __tablename__ = "artifacts"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    content: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime]


class ScheduleRow(Base):
    """A schedule that a search published: its best, and the other points of its front."""

    __tablename__ = "schedules"
    __table_args__ = (
        UniqueConstraint("search_id", "point"),
        Index("ix_schedules_model_solver_nfe_fid_id", "model", "solver", "nfe", "fid", "id"),
        Index("ix_schedules_fid_id", "fid", "id"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    search_id: Mapped[str] = mapped_column(ForeignKey("searches.id"))
    model: Mapped[str] = mapped_column(String(200))
    reference: Mapped[str] = mapped_column(String(200))
    solver: Mapped[str] = mapped_column(String(64))
    nfe: Mapped[int]
    guidance_scale: Mapped[float]
    fid: Mapped[float]
    standard_error: Mapped[float]
    document: Mapped[Document]
    created_at: Mapped[datetime]
    # Schedules of before pruning are the best of their search, on the full network.
    point: Mapped[int] = mapped_column(server_default=text("0"))
    cost_share: Mapped[float] = mapped_column(server_default=text("1.0"))
    macs: Mapped[int | None] = mapped_column(BigInteger)
    seconds: Mapped[float | None]
    weights_sha256: Mapped[str | None] = mapped_column(String(64), ForeignKey("artifacts.sha256"))


class MeasurementRow(Base):
    """A value that was measured once and is read as data ever after: a survey, seconds."""

    __tablename__ = "measurements"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    value: Mapped[object] = mapped_column(_JSON)
    created_at: Mapped[datetime]


class TeacherCheckRow(Base):
    """Full-step models that fit their reference, checked once per weights and reference."""

    __tablename__ = "teacher_checks"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    fid: Mapped[float]
    max_fid: Mapped[float]
    num_samples: Mapped[int]
    nfe: Mapped[int]
    created_at: Mapped[datetime]
