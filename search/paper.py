"""The published algorithm, for comparison. Ref: AutoDiffusion (ICCV 2023), as released.

Kept as published: genomes are unsorted, so crossover mixes unrelated noise levels and one set of
times counts as several genomes; every evaluation draws fresh noise and random labels; the pick is
the best value the archive ever saw, scored once. Made safe: a duplicate after crossover moves to
the nearest free index (it used to lose a step or to divide by zero), and the last generation counts
(one script evaluated and discarded it). A grid of K points ends at the clean level whatever the
solver.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from evaluators.banks import Bank
from evaluators.score import Ask
from search.ledger import Ledger
from search.plan import Plan
from search.published import (
    ATTEMPTS,
    ELITE,
    GENERATIONS,
    POPULATION,
    SEED_MUTATION_RATE,
    UNIFORM_AND_RANDOM,
    Settings,
    images_of,
    settings_of,
)
from search.strategy import Asking, Best, Outcome, Strategy, generator_for
from space.candidate import Candidate
from space.repair import repair
from space.seeds import paper_uniform_seed
from space.timesteps import Genome, TimestepSpace


def paper(plan: Plan) -> Strategy:
    """Fifty candidates, then nine generations of fifty: 500 evaluations.

    `make_plan` has refused plans without uniform seed, and budgets that cannot pay for all of it.
    """
    settings = settings_of(plan.space)
    run = _Run(plan, images_of(plan.space, plan.paper_fraction))
    yield from run.evaluate(_first_generation(run))
    for _ in range(GENERATIONS - 1):
        yield from run.evaluate(_next_generation(run, settings))
    return run.outcome()


@dataclass(slots=True)
class _Run:
    """The all-time archive and the book-keeping of one run."""

    plan: Plan
    images: int
    rng: np.random.Generator = field(init=False)
    ledger: Ledger = field(init=False)
    seen: set[Genome] = field(default_factory=set)
    archive: list[tuple[float, int, Genome]] = field(default_factory=list)
    history: list[Best] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = generator_for(self.plan.seed, "paper")
        self.ledger = self.plan.ledger(self.plan.budget)

    @property
    def elite(self) -> list[Genome]:
        """The all-time best, best first."""
        return [genome for _, _, genome in sorted(self.archive)[:ELITE]]

    def candidate(self, genome: Genome) -> Candidate:
        """What a genome means: the set of its indices, from noise to data."""
        return self.plan.space.candidate(sorted(genome, reverse=True))

    def evaluate(self, genomes: list[Genome]) -> Asking[None]:
        """Score a generation, each on noise and labels of its own, and add it to the archive."""
        first = len(self.archive)
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

    def new(self, count: int, draw: Callable[[], Genome]) -> list[Genome]:
        """Up to `count` unseen genomes from `draw`, in at most ATTEMPTS * count draws."""
        children: list[Genome] = []
        for _ in range(ATTEMPTS * count):
            if len(children) == count:
                break
            child = draw()
            if child not in self.seen:
                self.seen.add(child)
                children.append(child)
        return children

    def outcome(self) -> Outcome:
        """The archive's best value, as published; it was scored once and is not scored again."""
        alive = [genome for fid, _, genome in sorted(self.archive) if math.isfinite(fid)]
        return Outcome(
            finalists=tuple(self.candidate(genome) for genome in alive[:1]),
            calls_spent=self.ledger.spent,
            history=tuple(self.history),
        )


def _first_generation(run: _Run) -> list[Genome]:
    """The uniform seed, random candidates up to 26 in all, then mutants of the seed."""
    space, rng = run.plan.space, run.rng
    uniform = tuple(reversed(paper_uniform_seed(space)))
    first = run.new(1, lambda: uniform)
    first += run.new(UNIFORM_AND_RANDOM - 1, lambda: _random(space, rng))
    rest = POPULATION - len(first)
    first += run.new(rest, lambda: _mutant(uniform, SEED_MUTATION_RATE, space, rng))
    return _filled(run, first)


def _next_generation(run: _Run, settings: Settings) -> list[Genome]:
    """Mutants and crossovers of the elite, random candidates up to 50."""
    space, rng, elite = run.plan.space, run.rng, run.elite

    def parent() -> Genome:
        return elite[int(rng.integers(len(elite)))]

    children = run.new(settings.mutants, lambda: _mutant(parent(), settings.rate, space, rng))
    children += run.new(settings.crossovers, lambda: _cross(parent(), parent(), space, rng))
    return _filled(run, children)


def _filled(run: _Run, genomes: list[Genome]) -> list[Genome]:
    """Random candidates up to the population; seen ones where nothing new can be drawn."""
    space, rng = run.plan.space, run.rng
    genomes = genomes + run.new(POPULATION - len(genomes), lambda: _random(space, rng))
    while len(genomes) < POPULATION:
        genomes.append(_random(space, rng))
    return genomes


def _random(space: TimestepSpace, rng: np.random.Generator) -> Genome:
    """Distinct indices in random order."""
    return tuple(rng.choice(space.size, size=space.steps, replace=False).tolist())


def _mutant(genome: Genome, rate: float, space: TimestepSpace, rng: np.random.Generator) -> Genome:
    """Each gene, with probability `rate`, replaced by an index that the genome does not hold."""
    genes = list(genome)
    for i in range(len(genes)):
        if rng.random() < rate:
            free = sorted(set(range(space.size)) - set(genome) - set(genes))
            genes[i] = free[int(rng.integers(len(free)))] if free else genes[i]
    return tuple(genes)


def _cross(a: Genome, b: Genome, space: TimestepSpace, rng: np.random.Generator) -> Genome:
    """Each position from one parent or the other; duplicates move to the nearest free index."""
    from_a = rng.random(space.steps) < 0.5
    genes = [x if keep else y for x, y, keep in zip(a, b, from_a, strict=True)]
    order = sorted(range(len(genes)), key=lambda i: -genes[i])
    values = repair(genes, space)
    return tuple(values[order.index(i)] for i in range(len(genes)))
