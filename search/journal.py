"""Where a running search writes, and where it finds what is already known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from evaluators.score import Ask, Score


class Journal(Protocol):
    """The driver's only contact with the outside beside the scorer."""

    def known(self, keys: Sequence[str]) -> dict[str, Score]:
        """The stored scores among these keys."""
        ...

    def record(
        self, *, seq: int, phase: str, ask: Ask, key: str, score: Score, cached: bool
    ) -> None:
        """Store an evaluation, its score and its event, in one transaction.

        A `seq` that is already there (written before an interruption) is the same evaluation: it
        stays as it is.
        """
        ...

    def measured(self, keys: Sequence[str]) -> dict[str, object]:
        """What was measured before and is kept under these keys: plain JSON values."""
        ...

    def keep_measured(self, key: str, kind: str, value: object) -> None:
        """Keep a measurement; what is there already stays."""
        ...

    def progress(self, *, phase: str, calls: int, best_fid: float | None, message: str) -> None:
        """Tell watchers where the search is."""
        ...

    def check(self) -> None:
        """Called between batches.

        Raises:
            Cancelled: the owner cancelled the search.
            LeaseLost: somebody else runs it now.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One row of the table of evaluations."""

    seq: int
    phase: str
    ask: Ask
    key: str
    score: Score
    cached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One progress event."""

    phase: str
    calls: int
    best_fid: float | None
    message: str


@dataclass(slots=True)
class MemoryJournal:
    """A journal of one process. Share `scores` between journals to share what is known."""

    scores: dict[str, Score] = field(default_factory=dict)
    evaluations: dict[int, Evaluation] = field(default_factory=dict)
    events: list[Progress] = field(default_factory=list)
    measurements: dict[str, object] = field(default_factory=dict)

    def known(self, keys: Sequence[str]) -> dict[str, Score]:
        """The stored scores among these keys."""
        return {key: self.scores[key] for key in keys if key in self.scores}

    def record(
        self, *, seq: int, phase: str, ask: Ask, key: str, score: Score, cached: bool
    ) -> None:
        """Store an evaluation; one that is already there stays."""
        self.scores.setdefault(key, score)
        row = Evaluation(seq=seq, phase=phase, ask=ask, key=key, score=score, cached=cached)
        self.evaluations.setdefault(seq, row)

    def measured(self, keys: Sequence[str]) -> dict[str, object]:
        """What was measured before, among these keys."""
        return {key: self.measurements[key] for key in keys if key in self.measurements}

    def keep_measured(self, key: str, kind: str, value: object) -> None:  # noqa: ARG002
        """Keep a measurement; what is there already stays."""
        self.measurements.setdefault(key, json.loads(json.dumps(value)))

    def progress(self, *, phase: str, calls: int, best_fid: float | None, message: str) -> None:
        """Append an event."""
        self.events.append(Progress(phase=phase, calls=calls, best_fid=best_fid, message=message))

    def check(self) -> None:
        """Nobody cancels a search in memory."""
