"""States of a search and kinds of events: words shared by tables, API, client and page."""

from __future__ import annotations

from enum import StrEnum


class SearchStatus(StrEnum):
    """Where a search is.

    queued -> running -> succeeded | failed; queued or running -> cancelled; a worker that shuts
    down hands its search back, running -> queued.
    """

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing can change any more."""
        return self in FINAL_STATUSES


FINAL_STATUSES = frozenset(
    {SearchStatus.SUCCEEDED, SearchStatus.FAILED, SearchStatus.CANCELLED},
)


class EventKind(StrEnum):
    """What an event of a search reports; a final status is its last event."""

    QUEUED = "queued"
    RUNNING = "running"
    PROGRESS = "progress"
    EVALUATION = "evaluation"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
