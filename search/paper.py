"""The published algorithm, for comparison. Ref: AutoDiffusion (ICCV 2023), as released.

Kept as published: genomes are unsorted, so crossover mixes unrelated noise levels and one set of
times counts as several genomes; every evaluation draws fresh noise and random labels; the pick is
the best value the archive ever saw, scored once. Made safe: a duplicate after crossover moves to
the nearest free index (it used to lose a step or to divide by zero), and the last generation counts
(one script evaluated and discarded it). A grid of K points ends at the clean level whatever the
solver.
"""

from __future__ import annotations

import numpy as np

from search.plan import Plan
from search.published import GENERATIONS, images_of, settings_of
from search.published_run import Operators, PublishedRun
from search.strategy import Strategy, generator_for
from space.candidate import Candidate
from space.repair import repair
from space.seeds import paper_uniform_seed
from space.timesteps import Genome, TimestepSpace


def paper(plan: Plan) -> Strategy:
    """Fifty candidates, then nine generations of fifty: 500 evaluations.

    `make_plan` has refused plans without uniform seed, and budgets that cannot pay for all of it.
    """
    space, rng = plan.space, generator_for(plan.seed, "paper")

    def candidate(genome: Genome) -> Candidate:
        """What a genome means: the set of its indices, from noise to data."""
        return space.candidate(sorted(genome, reverse=True))

    run = PublishedRun(plan.ledger(plan.budget), images_of(space, plan.paper_fraction), candidate)
    operators = Operators(
        rng=rng,
        random=lambda: _random(space, rng),
        mutant=lambda genome, rate: _mutant(genome, rate, space, rng),
        cross=lambda a, b: _cross(a, b, space, rng),
    )
    uniform = tuple(reversed(paper_uniform_seed(space)))
    yield from run.evaluate(run.first_generation(uniform, operators))
    for _ in range(GENERATIONS - 1):
        yield from run.evaluate(run.next_generation(settings_of(space), operators))
    return run.outcome()


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
