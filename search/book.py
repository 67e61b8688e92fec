"""A strategy's memory: every fitness it was told, by candidate and number of images."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from evaluators.banks import Bank
from evaluators.score import Ask, Score
from search.ledger import Ledger
from search.strategy import Asking, Best, Outcome
from space.candidate import Candidate


class Book:
    """Asks for what is not known yet, within the budget, and remembers the answers.

    A failed score is an infinite fitness. Values are only ever compared within one number of
    images: small-sample FID is biased, by an amount that depends on it.
    """

    def __init__(self, ledger: Ledger, bank: Bank) -> None:
        self.ledger = ledger
        self.bank = bank
        self.history: list[Best] = []
        self._fitness: dict[int, dict[Candidate, float]] = {}

    def score(self, candidates: Iterable[Candidate], num_samples: int) -> Asking[list[float]]:
        """Fitness of candidates at `num_samples` images, in order; one batch of asks.

        What the budget cannot pay for (a tail of the unknown ones) comes back infinite, unasked.
        """
        wanted = list(candidates)
        known = self._fitness.setdefault(num_samples, {})
        fresh = [candidate for candidate in dict.fromkeys(wanted) if candidate not in known]
        asks = self.ledger.affordable([Ask(c, self.bank, num_samples) for c in fresh])
        if asks:
            scores = yield asks
            self._tell(asks, scores)
        return [known.get(candidate, math.inf) for candidate in wanted]

    def fitness(self, candidate: Candidate, num_samples: int) -> float:
        """The fitness at `num_samples` images; infinite if failed or never asked."""
        return self._fitness.get(num_samples, {}).get(candidate, math.inf)

    def ranked(self, num_samples: int) -> list[Candidate]:
        """Candidates with a finite fitness at `num_samples`, best first; ties in ask order."""
        known = self._fitness.get(num_samples, {})
        alive = [candidate for candidate, fid in known.items() if math.isfinite(fid)]
        return sorted(alive, key=lambda candidate: known[candidate])

    def ranked_by_best_known(self) -> list[Candidate]:
        """Candidates scored with most images first, then the next fewer, each by its fitness."""
        order = [c for n in sorted(self._fitness, reverse=True) for c in self.ranked(n)]
        return list(dict.fromkeys(order))

    def outcome(self, num_finalists: int) -> Outcome:
        """The search's result: the best by the most images."""
        return Outcome(
            finalists=tuple(self.ranked_by_best_known()[:num_finalists]),
            calls_spent=self.ledger.spent,
            history=tuple(self.history),
            ranked=tuple(self.ranked(max(self._fitness, default=0))),
        )

    def _tell(self, asks: Sequence[Ask], scores: Sequence[Score]) -> None:
        """Store scores, charge their calls, note the best so far."""
        if len(scores) != len(asks):
            raise ValueError(f"{len(asks)} asks were told {len(scores)} scores")
        for ask, score in zip(asks, scores, strict=True):
            self.ledger.charge(ask)
            fid = math.inf if score.fid is None else score.fid
            self._fitness.setdefault(ask.num_samples, {})[ask.candidate] = fid
        num_samples = asks[-1].num_samples
        best = min(self._fitness[num_samples].values())
        if math.isfinite(best):
            self.history.append(Best(calls=self.ledger.spent, fid=best, num_samples=num_samples))
