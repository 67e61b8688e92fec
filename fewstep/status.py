"""The states of a search, in the words of the service."""

from __future__ import annotations

from enum import StrEnum


class SearchStatus(StrEnum):
    """Where a search stands; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to the search."""
        return self in {SearchStatus.SUCCEEDED, SearchStatus.FAILED, SearchStatus.CANCELLED}
