"""Which of many children are worth a score: by a surrogate, and apart from one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from search.surrogate import Corrected, Interpolant, Predictor, coordinates, distances
from space.timesteps import Genome, TimestepSpace


def predictor(space: TimestepSpace, known: Sequence[Mapping[Genome, float]]) -> Predictor:
    """The surrogate of the last rung: the first rung's interpolant, corrected rung by rung.

    Args:
        space: Where genomes live.
        known: Finite fitness by genome of each rung, fewest images first; none of them empty.
    """
    first, *higher = known
    found: Predictor = Interpolant(space, first)
    for fitness in higher:
        found = Corrected(space, found, fitness)
    return found


def pick(
    pool: Sequence[Genome],
    known: Sequence[Mapping[Genome, float]],
    space: TimestepSpace,
    *,
    count: int,
    apart: float,
) -> list[Genome]:
    """The `count` most promising of a pool that are new to the last rung and feasible.

    Args:
        pool: Different genomes.
        known: As for `predictor`.
        space: Where genomes live.
        count: Most that are picked.
        apart: Least distance in lam between any two that are picked.
    """
    fresh = [genome for genome in pool if genome not in known[-1]]
    if not fresh:
        return []
    predicted = predictor(space, known).predict(fresh)
    points = coordinates(space, fresh)
    picked: list[int] = []
    for i in sorted(range(len(fresh)), key=lambda i: (predicted[i], i)):
        if len(picked) == count:
            break
        is_near = bool(picked) and float(distances(points[[i]], points[picked]).min()) < apart
        if not is_near and space.is_feasible(fresh[i]):
            picked.append(i)
    return [fresh[i] for i in picked]
