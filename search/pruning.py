"""Stage 2: which part of the network runs at each step, by NSGA-II over a ladder of image counts.

1. The lowest rung: the full network on each schedule of stage 1, then generations. The saving that
   is allowed grows in five equal parts, one a generation; each brings its seeds: greedy cuts by the
   survey's errors, uniform ratios. Under a budget there is no ramp: all are within it at once.
2. Generations: NSGA-II breeds many children with the times of a schedule of stage 1; a regression
   on the survey's errors picks the few that are scored, for what they would add to the front.
3. Promotion to more images, first of the best of each tier of cost, then of the front; then
   generations there; and so on up the ladder.
4. Polish, of times and architecture together: small coordinate steps of the times, and blocks one
   place away, from the best of each tier in turn; halved when a round leaves them as they were.

All candidates share their noise (common random numbers). FIDs are compared within one number of
images only.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from search.ladder import Rung, places_left, rungs
from search.pruning_memory import Memory
from search.pruning_plan import PrunedGenome, PruningOutcome, PruningPlan
from search.pruning_seeds import Path, budget_seeds, greedy_paths, opening_seeds
from search.pymoo_front import FrontGA, Objectives, front_order
from search.strategy import Asking, generator_for
from space.architecture_limits import INCREMENTS, BoundedSpace
from space.architecture_operators import crossover, mutate, one_place_away, random_genome
from space.operators import beside

SCREENING_SHARE = 0.5
"""Of the budget, for the lowest rung: seeds and the first generations."""

PROMOTED_SHARE = 0.5
"""Of a higher rung's places, for candidates promoted from below; the others are for children."""

POLISH_SHARE = 0.15
"""Of the budget, taken from the highest rung's part, for the polish at the end."""

SEED_SHARE = 0.7
"""Of the lowest rung's places, at most this much for seeds; equal parts for each opening."""

RAMP_PLACES = 20
"""Where the lowest rung has fewer places, all of the saving is allowed at once."""

RANDOM_SEEDS = 4
POPULATION = 16
POOL = 16
"""Children bred for each one that is scored."""

BATCHES = (8, 4)
"""Children scored per generation: on the lowest rung at most, above it."""

BASE_RATE = 0.1
"""How often a mutation takes the times of another schedule, and leaves the architecture alone."""

POLISH_STEPS = (0.1, 0.01)
"""First and least step of the polish, in lam."""

POLISH_CUTS = 2
"""Architectures a place away that are scored with each step of the times."""


def prune(plan: PruningPlan) -> Asking[PruningOutcome]:
    """The search over architectures; see the module's docstring."""
    run = _Run(plan)
    yield from run.plant()
    yield from run.generations(0)
    for level in range(1, len(run.ladder)):
        yield from run.promote(level)
        yield from run.generations(level)
    yield from run.polish()
    return run.memory.outcome()


@dataclass(slots=True)
class _Run:
    """One run: the plan, the ladder, what is known, the limits, and the random generator."""

    plan: PruningPlan
    rng: np.random.Generator = field(init=False)
    memory: Memory = field(init=False)
    ladder: list[Rung] = field(init=False)
    paths: tuple[Path, ...] = field(init=False)
    bounded: BoundedSpace = field(init=False)  # the limits of this generation
    openings: int = field(init=False)  # of the limits: still to come, this one included
    opened: float = 1.0  # the least share that the generation before was allowed

    def __post_init__(self) -> None:
        plan = self.plan
        self.rng = generator_for(plan.seed, "pruning")
        self.memory = Memory(plan)
        self.ladder = rungs(
            plan.fidelities,
            calls=plan.budget,
            calls_per_image=plan.calls_per_image,
            screening_share=SCREENING_SHARE,
            least=plan.num_points,
        )
        self.paths = greedy_paths(plan.bounded, plan.survey)
        self.bounded = plan.bounded
        is_ramped = not plan.has_budget and self.ladder[0].count >= RAMP_PLACES
        self.limit(INCREMENTS if is_ramped else 1)

    def limit(self, openings: int) -> None:
        """Set the limits: of so many openings all but the first are still to come."""
        self.openings, plan = openings, self.plan
        if not plan.has_budget:
            generation = INCREMENTS - openings
            self.bounded = plan.bounded.at_generation(generation, max_saving=plan.max_saving)

    def plant(self) -> Asking[dict[PrunedGenome, Objectives]]:
        """Score the seeds of this generation's limits, as many as its part of the seeds' holds."""
        places = max(1, int(SEED_SHARE * self.room(0) / self.openings))
        seeds = self.budget_seeds() if self.plan.has_budget else self.opening_seeds()
        new = self.memory.fresh(seeds, 0)
        return (yield from self.memory.score(new[: min(places, self.room(0))], 0))

    def opening_seeds(self) -> list[PrunedGenome]:
        """The full network on the best schedule, cuts of it, then the others and random ones."""
        space, (best, *others) = self.plan.space, self.plan.start_times
        cuts = opening_seeds(self.bounded, self.plan.survey, self.paths, self.opened)
        first = [PrunedGenome(best, genome) for genome in [space.full, *cuts]]
        full = [PrunedGenome(times, space.full) for times in others]
        return [*first, *full, *self.random_seeds()]

    def budget_seeds(self) -> list[PrunedGenome]:
        """Cuts to the budget on the best schedule, the first of them on others, random ones."""
        best, *others = self.plan.start_times
        cuts = budget_seeds(self.bounded, self.plan.survey, self.paths)
        first = [PrunedGenome(best, genome) for genome in cuts]
        rest = [PrunedGenome(times, genome) for times in others for genome in cuts[:1]]
        return [*first, *rest, *self.random_seeds()]

    def random_seeds(self) -> list[PrunedGenome]:
        """Near the full network, or near the budget: others are of no use without training."""
        drawn = [random_genome(self.bounded, self.rng) for _ in range(RANDOM_SEEDS)]
        return [PrunedGenome(self.plan.start_times[0], genome) for genome in drawn]

    def generations(self, level: int) -> Asking[None]:
        """Breed and score until the rung's part of the budget is spent, or nothing new is bred."""
        if not (parents := self.memory.known(level)):
            return
        ga = FrontGA(
            parents, mutate=self.mutate, cross=self.cross, population=POPULATION, rng=self.rng
        )
        while (room := self.room(level)) > 0:
            size = self.batch(level)
            children = self.memory.pick(ga.ask(size * POOL), level, min(size, room))
            ga.tell((yield from self.memory.score(children, level)))
            if level == 0 and self.openings > 1:
                self.opened = self.bounded.least
                self.limit(self.openings - 1)
                ga.tell((yield from self.plant()))
            elif not children:
                return

    def batch(self, level: int) -> int:
        """Children of a generation; where places are few, so few that the limits can open."""
        if level > 0:
            return BATCHES[1]
        return max(1, min(BATCHES[0], self.ladder[0].count // (2 * INCREMENTS)))

    def promote(self, level: int) -> Asking[None]:
        """Score the best of each tier of the rung below, its front, the front behind it, and so on.

        Who is promoted is decided within one number of images, the one below.
        """
        self.limit(1)
        count = max(self.plan.num_points, round(PROMOTED_SHARE * self.ladder[level].count))
        known = self.memory.known(level - 1)
        fronts = [list(known)[i] for i in front_order(list(known.values()))]
        order = dict.fromkeys([*self.memory.leaders(level - 1), *fronts])
        yield from self.memory.score(list(order)[:count], level)

    def polish(self) -> Asking[None]:
        """Step from the best of each tier in turn, on the highest rung.

        Each also tries the times of the best one: what helps one architecture mostly helps others.
        """
        level, (step, least), turn = len(self.ladder) - 1, POLISH_STEPS, 0
        calls = self.plan.calls_for(self.ladder[level].num_samples)
        genes = self.plan.times.steps + len(self.plan.times.genes)
        while step >= least and (before := self.memory.leaders(level)):
            for i in self.rng.permutation(genes).tolist():
                if (places := self.memory.left // calls) == 0:
                    return
                leaders = self.memory.leaders(level)
                one = leaders[turn % len(leaders)]
                near = [PrunedGenome(leaders[0].times, one.architecture), *self.near(one, i, step)]
                cuts = self.memory.pick(self.away(one), level, POLISH_CUTS)
                new = self.memory.fresh([*near, *cuts], level)
                yield from self.memory.score(new[:places], level)
                turn += 1
            step = step if self.memory.leaders(level) != before else step / 2

    def near(self, genome: PrunedGenome, i: int, step: float) -> list[PrunedGenome]:
        """One gene of the times moved."""
        space = self.plan.times
        every = [
            times for times in beside(genome.times, i, step, space) if space.is_feasible(times)
        ]
        for times in every:
            self.memory.stem(times, genome.times)
        return [PrunedGenome(times, genome.architecture) for times in every]

    def away(self, genome: PrunedGenome) -> list[PrunedGenome]:
        """One block of the architecture a place away."""
        every = one_place_away(genome.architecture, self.bounded)
        return [PrunedGenome(genome.times, architecture) for architecture in every]

    def mutate(self, genome: PrunedGenome, rng: np.random.Generator) -> PrunedGenome:
        """Times of another schedule of stage 1, or a move of the architecture."""
        starts = self.plan.start_times
        if len(starts) > 1 and rng.random() < BASE_RATE:
            return PrunedGenome(starts[int(rng.integers(len(starts)))], genome.architecture)
        return PrunedGenome(genome.times, mutate(genome.architecture, self.bounded, rng))

    def cross(self, a: PrunedGenome, b: PrunedGenome, rng: np.random.Generator) -> PrunedGenome:
        """Architectures crossed; times of the first, for those of two would be no schedule's."""
        mixed = crossover(a.architecture, b.architecture, self.bounded, rng)
        return PrunedGenome(a.times, mixed)

    def room(self, level: int) -> int:
        """How many children a rung can still pay for; rungs above and polish keep their parts."""
        held, left = int(POLISH_SHARE * self.plan.budget), self.memory.left
        room = places_left(self.ladder, level, left=left, held=held, calls_for=self.plan.calls_for)
        return max(room, int(left == self.plan.budget))  # the plan has checked that it pays for one
