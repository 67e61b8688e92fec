"""Random search at equal budget: the control that every other strategy has to beat."""

from __future__ import annotations

from evaluators.banks import Bank
from search.book import Book
from search.ladder import climb, rungs
from search.plan import Plan
from search.strategy import Strategy, generator_for
from space.candidate import Candidate
from space.operators import random_genome

SCREENING_SHARE = 0.6
BATCH = 32


def random_search(plan: Plan) -> Strategy:
    """Uniform random index sets, the same ladder, bank, budget and selection as the evolution."""
    rng = generator_for(plan.seed, "random")
    book = Book(plan.ledger(plan.search_budget), Bank("search"))
    ladder = rungs(
        plan.fidelities,
        calls=plan.search_budget,
        calls_per_image=plan.calls_per_image,
        screening_share=SCREENING_SHARE,
        least=plan.num_finalists,
    )
    drawn: dict[Candidate, None] = {}
    for _ in range(ladder[0].count):
        drawn.setdefault(plan.space.candidate(random_genome(plan.space, rng)))
    candidates = list(drawn)
    for start in range(0, len(candidates), BATCH):
        yield from book.score(candidates[start : start + BATCH], ladder[0].num_samples)
    yield from climb(book, ladder)
    return book.outcome(plan.num_finalists)
