"""Feeds a strategy: looks scores up, has unknown ones computed, writes all in ask order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import count
from typing import TypeVar

from evaluators.score import Ask, Score, Scorer, score_key
from search.journal import Journal
from search.ledger import Ledger
from search.strategy import Asking

R = TypeVar("R")


class Conductor:
    """Runs the phases of one search over one scorer and one journal.

    The only state is the number of asks so far, so replaying the same phases over the same stored
    scores writes the same rows.
    """

    def __init__(self, scorer: Scorer, journal: Journal, ledger: Ledger) -> None:
        self._scorer = scorer
        self._journal = journal
        self._ledger = ledger
        self._seq = count()

    def conduct(self, phase: str, asking: Asking[R]) -> R:
        """Answer a phase's asks until it returns.

        Raises:
            Cancelled, LeaseLost: from the journal, between batches.
            ScoringFailed: the machinery failed; what was scored before is stored.
        """
        best = _BestSoFar()
        try:
            asks = next(asking)
            while True:
                scores = self._answer(phase, asks)
                best.see(asks, scores)
                self._journal.progress(
                    phase=phase,
                    calls=self._ledger.spent,
                    best_fid=best.fid,
                    message=f"{len(asks)} schedules scored with {asks[-1].num_samples} images",
                )
                asks = asking.send(scores)
        except StopIteration as stop:
            result: R = stop.value
            return result

    def _answer(self, phase: str, asks: Sequence[Ask]) -> list[Score]:
        """The scores of one batch, in ask order; each is recorded as soon as its turn comes."""
        self._journal.check()
        keys = [score_key(self._scorer.task, ask) for ask in asks]
        known = self._journal.known(keys)
        unknown = [position for position, key in enumerate(keys) if key not in known]
        answers: list[Score] = []

        def record(position: int, score: Score, *, cached: bool) -> None:
            self._ledger.charge(asks[position])
            self._journal.record(
                seq=next(self._seq),
                phase=phase,
                ask=asks[position],
                key=keys[position],
                score=score,
                cached=cached,
            )
            answers.append(score)

        def record_known_before(position: int) -> None:
            while len(answers) < position:
                record(len(answers), known[keys[len(answers)]], cached=True)

        def on_score(place: int, score: Score) -> None:
            record_known_before(unknown[place])
            record(unknown[place], score, cached=False)

        if unknown:
            self._scorer.score([asks[position] for position in unknown], on_score)
        record_known_before(len(asks))
        return answers


class _BestSoFar:
    """The best fitness of a phase among scores with the most images seen."""

    def __init__(self) -> None:
        self._num_samples = 0
        self._fid = math.inf

    @property
    def fid(self) -> float | None:
        """None while every candidate has failed."""
        return self._fid if math.isfinite(self._fid) else None

    def see(self, asks: Sequence[Ask], scores: Sequence[Score]) -> None:
        """Take a batch in; values at different numbers of images are never compared."""
        for ask, score in zip(asks, scores, strict=True):
            if ask.num_samples > self._num_samples:
                self._num_samples, self._fid = ask.num_samples, math.inf
            if ask.num_samples == self._num_samples and score.fid is not None:
                self._fid = min(self._fid, score.fid)
