"""The journal of a search in the database, under the lease of the worker that runs it."""

from __future__ import annotations

from collections.abc import Sequence

from evaluators.score import Ask, Score
from store import evaluations, leases, measurements, scores
from store.documents import Document
from store.engine import Engine
from store.records import Lease, NewEvaluation, StoredScore


class StoredJournal:
    """Implements `search.journal.Journal` over the store.

    Replaying an interrupted search finds every score it was told before and changes nothing until
    it gets past the last evaluation stored.
    """

    def __init__(self, engine: Engine, lease: Lease) -> None:
        self._engine = engine
        self._lease = lease
        self._num_stored = evaluations.count(engine, lease.search_id)
        self._num_told = 0

    @property
    def is_replaying(self) -> bool:
        """Whether an earlier run got further than this one has so far."""
        return self._num_told < self._num_stored

    def known(self, keys: Sequence[str]) -> dict[str, Score]:
        """The stored scores among these keys; what this search was told before goes first."""
        found = scores.known(self._engine, keys)
        found |= evaluations.known(self._engine, self._lease.search_id, keys)
        return {key: _score(stored) for key, stored in found.items()}

    def record(
        self, *, seq: int, phase: str, ask: Ask, key: str, score: Score, cached: bool
    ) -> None:
        """Store an evaluation, its score and its event, in one transaction.

        Raises:
            Cancelled, LeaseLost: the search is not ours any more; nothing was stored.
            Conflict: `seq` holds another evaluation: this is no replay of what was begun.
        """
        new = NewEvaluation(
            seq=seq,
            phase=phase,
            bank=ask.bank.name,
            set_index=ask.bank.set_index,
            num_samples=ask.num_samples,
            candidate=_document(ask),
            candidate_key=ask.candidate.key,
            score_key=key,
            score=StoredScore(fid=score.fid, failure=score.failure, calls=score.calls),
            cached=cached,
        )
        evaluations.record(self._engine, self._lease, new)
        self._num_told = seq + 1

    def measured(self, keys: Sequence[str]) -> dict[str, object]:
        """What any search measured and kept under these keys."""
        return dict(measurements.find(self._engine, keys))

    def keep_measured(self, key: str, kind: str, value: object) -> None:
        """Keep a measurement for every search that asks the same; the first one stays."""
        measurements.put(self._engine, key, kind, value)

    def progress(self, *, phase: str, calls: int, best_fid: float | None, message: str) -> None:
        """Tell watchers where the search is, except where it has been before; raise as `record`."""
        if self.is_replaying:
            self.check()
            return
        evaluations.progress(
            self._engine,
            self._lease,
            phase=phase,
            calls_spent=calls,
            best_fid=best_fid,
            message=message,
        )

    def check(self) -> None:
        """Ask whether the search is still ours.

        Raises:
            Cancelled: its owner cancelled it.
            LeaseLost: another worker runs it, or this one handed it back.
        """
        leases.check(self._engine, self._lease)


def _score(stored: StoredScore) -> Score:
    return Score(fid=stored.fid, failure=stored.failure, calls=stored.calls)


def _document(ask: Ask) -> Document:
    return dict(ask.candidate.canonical())
