"""The fidelity ladder: few images for many candidates, many images for few."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from search.book import Book
from search.strategy import Asking


@dataclass(frozen=True, slots=True)
class Rung:
    """`count` candidates are scored with `num_samples` images."""

    num_samples: int
    count: int


def rungs(
    fidelities: Sequence[int],
    *,
    calls: int,
    calls_per_image: float,
    screening_share: float,
    least: int,
) -> list[Rung]:
    """Spread a budget of calls over the fidelities.

    The lowest gets `screening_share`, the others equal parts of the rest. A higher rung that could
    not hold `least` candidates is left out, and its part goes to the ones below.
    """
    first, *higher = fidelities
    while higher:
        part = calls * (1.0 - screening_share) / len(higher)
        counts = [
            int(part / ((n - below) * calls_per_image))
            for below, n in zip([first, *higher], higher, strict=False)
        ]
        if counts[-1] >= least:
            screened = int(calls * screening_share / (first * calls_per_image))
            return [Rung(first, screened), *map(Rung, higher, counts)]
        higher.pop()
    return [Rung(first, int(calls // (first * calls_per_image)))]


def places_left(
    ladder: Sequence[Rung], level: int, *, left: int, held: int, calls_for: Callable[[int], int]
) -> int:
    """How many more candidates a rung can pay for, when those above keep their parts.

    Args:
        ladder: All rungs.
        level: Which of them.
        left: Calls that may still be spent.
        held: Of these, calls kept for after the highest rung.
        calls_for: Calls of so many images of one candidate.
    """
    above, below = ladder[level + 1 :], ladder[level].num_samples
    kept = 0 if above else held
    for rung in above:
        kept += rung.count * calls_for(rung.num_samples - below)
        below = rung.num_samples
    return (left - kept) // calls_for(ladder[level].num_samples)


def promote(book: Book, below: int, rung: Rung) -> Asking[None]:
    """Score the best of the rung below with this rung's images.

    Who is promoted is decided within one number of images, the one below.
    """
    yield from book.score(book.ranked(below)[: rung.count], rung.num_samples)


def climb(book: Book, ladder: Sequence[Rung]) -> Asking[None]:
    """Promote from rung to rung; the first rung's candidates are already scored."""
    for below, rung in pairwise(ladder):
        yield from promote(book, below.num_samples, rung)
