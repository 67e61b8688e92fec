"""What both published searches share: an all-time archive, and generations of fifty bred from it.

Ref: Li et al. 2023 (AutoDiffusion), as released. Genomes are of any kind: times alone, or times
with the layers that each step leaves out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from evaluators.banks import Bank
from evaluators.score import Ask
from search.ledger import Ledger
from search.published import (
    ATTEMPTS,
    ELITE,
    POPULATION,
    SEED_MUTATION_RATE,
    UNIFORM_AND_RANDOM,
    Settings,
)
from search.strategy import Asking, Best, Outcome
from space.candidate import Candidate

G = TypeVar("G", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Operators(Generic[G]):
    """How genomes vary.

    Attributes:
        rng: Picks parents; the operators draw from it too.
        random: A random genome.
        mutant: A genome with each gene changed at a rate.
        cross: A child of two genomes.
    """

    rng: np.random.Generator
    random: Callable[[], G]
    mutant: Callable[[G, float], G]
    cross: Callable[[G, G], G]


@dataclass(slots=True)
class PublishedRun(Generic[G]):
    """The all-time archive and the book-keeping of one run.

    Attributes:
        ledger: Counts the calls.
        images: Images of every evaluation.
        candidate: What a genome means.
        archive: Fitness, number and genome of every evaluation, in order.
        latest: Number of the first evaluation of the last generation.
    """

    ledger: Ledger
    images: int
    candidate: Callable[[G], Candidate]
    seen: set[G] = field(default_factory=set)
    archive: list[tuple[float, int, G]] = field(default_factory=list)
    history: list[Best] = field(default_factory=list)
    latest: int = 0

    @property
    def elite(self) -> list[G]:
        """The all-time best, best first."""
        return [genome for _, _, genome in sorted(self.archive)[:ELITE]]

    @property
    def has_improved(self) -> bool:
        """Whether the last generation holds the best of all."""
        return min(self.archive)[1] >= self.latest

    def evaluate(self, genomes: list[G]) -> Asking[None]:
        """Score a generation, each on noise and labels of its own, and add it to the archive."""
        self.latest = first = len(self.archive)
        asks = [
            Ask(self.candidate(g), Bank("search", first + i, "random"), self.images)
            for i, g in enumerate(genomes)
        ]
        scores = yield asks
        for i, (ask, score) in enumerate(zip(asks, scores, strict=True)):
            self.ledger.charge(ask)
            fid = math.inf if score.fid is None else score.fid
            self.archive.append((fid, first + i, genomes[i]))
        best = min(self.archive)[0]
        if math.isfinite(best):
            spent = self.ledger.spent
            self.history.append(Best(calls=spent, fid=best, num_samples=self.images))

    def first_generation(self, uniform: G, operators: Operators[G]) -> list[G]:
        """The uniform seed, random candidates up to 26 in all, then mutants of the seed."""
        first = self.new(1, lambda: uniform)
        first += self.new(UNIFORM_AND_RANDOM - 1, operators.random)
        rest = POPULATION - len(first)
        first += self.new(rest, lambda: operators.mutant(uniform, SEED_MUTATION_RATE))
        return self.filled(first, operators)

    def next_generation(self, settings: Settings, operators: Operators[G]) -> list[G]:
        """Mutants and crossovers of the elite, random candidates up to 50."""
        elite, rng = self.elite, operators.rng

        def parent() -> G:
            return elite[int(rng.integers(len(elite)))]

        children = self.new(settings.mutants, lambda: operators.mutant(parent(), settings.rate))
        children += self.new(settings.crossovers, lambda: operators.cross(parent(), parent()))
        return self.filled(children, operators)

    def new(self, count: int, draw: Callable[[], G]) -> list[G]:
        """Up to `count` unseen genomes from `draw`, in at most ATTEMPTS * count draws."""
        children: list[G] = []
        for _ in range(ATTEMPTS * count):
            if len(children) == count:
                break
            child = draw()
            if child not in self.seen:
                self.seen.add(child)
                children.append(child)
        return children

    def filled(self, genomes: list[G], operators: Operators[G]) -> list[G]:
        """Random candidates up to the population; seen ones where nothing new can be drawn."""
        genomes = genomes + self.new(POPULATION - len(genomes), operators.random)
        while len(genomes) < POPULATION:
            genomes.append(operators.random())
        return genomes

    def outcome(self, num_finalists: int = 1) -> Outcome:
        """The archive's best, best first; each was scored once, as published."""
        alive = [genome for fid, _, genome in sorted(self.archive) if math.isfinite(fid)]
        distinct = list(dict.fromkeys(alive))[:num_finalists]
        return Outcome(
            finalists=tuple(self.candidate(genome) for genome in distinct),
            calls_spent=self.ledger.spent,
            history=tuple(self.history),
        )
