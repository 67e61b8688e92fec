"""Stage 2: which part of the network runs at each step, by NSGA-II over a ladder of image counts.

1. The lowest rung: the full network, probes of runs of steps, then generations. The saving that is
   allowed grows in five equal parts, one a generation; each brings its seeds: greedy cuts by the
   survey's errors as far as scores bear them out, on the times of the best so far, pure reuse,
   uniform ratios. Under a budget there is no ramp: all are within it at once.
2. Generations: NSGA-II breeds many children; a regression on the survey's errors picks the few that
   are scored, for what they would add to the front. It has no opinion on times that are new: a few
   of the best go on with theirs moved, unasked.
3. Promotion to more images, first of those that lead each tier of cost by FID or by the survey,
   then of the front; then generations there; and so on up the ladder.
4. Polish, of times and architecture together: small coordinate steps of the times, and blocks one
   place away, from the best of each tier in turn; halved when a round leaves them as they were.

All candidates share their noise (common random numbers). FIDs are compared within one number of
images only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import zip_longest

import numpy as np

from search.ladder import Rung, places_left, rungs
from search.pruning_memory import Memory
from search.pruning_plan import PrunedGenome, PruningOutcome, PruningPlan
from search.pruning_probes import around, deeper, first_probe, probes
from search.pruning_seeds import (
    Path,
    alternates,
    budget_seeds,
    by_error,
    cheapest_above,
    dearest_within,
    greedy_paths,
    opening_seeds,
)
from search.pymoo_front import FrontGA, Objectives, front_order
from search.strategy import Asking, generator_for
from space.architecture_limits import INCREMENTS, BoundedSpace
from space.architecture_operators import crossover, mutate, one_place_away, random_genome
from space.architectures import ArchitectureGenome
from space.operators import beside
from space.operators import mutate as mutate_times

SCREENING_SHARE = 0.5
"""Of the budget, for the lowest rung: seeds and the first generations."""

PROMOTED_SHARE = {"front": 0.7, "budget": 0.5}
"""Of a higher rung's places, for candidates promoted from below; the others are for children.

More for a front, whose tiers are led by two each: by FID and by the survey.
"""

POLISH_SHARE = 0.15
"""Of the budget, taken from the highest rung's part, for the polish at the end."""

SEED_SHARE = 0.7
"""Of the lowest rung's places, at most this much for seeds; equal parts for each opening."""

PROBE_SHARE = 0.3
"""Of the lowest rung's places, for the full network, other schedules, and probes."""

RAMP_PLACES = 12
"""Where the lowest rung has fewer places, all of the saving is allowed at once."""

BUDGET_OPENINGS = 2
"""Under a budget: seeds by the survey alone, and a few once scores have said something of it."""

RANDOM_SEEDS = 4
POPULATION = 16
POOL = 16
"""Children bred for each one that is scored."""

BATCHES = (8, 4)
"""Children scored per generation: on the lowest rung at most, above it."""

BASE_RATE = 0.1
"""How often a mutation takes the times of another schedule, and leaves the architecture alone."""

MOVED_OF = 4
"""Of so many children of a generation one is one of the best with its times moved."""

MOVED_SCALE = 0.25
"""By how much, in lam."""

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
    paths: tuple[Path, ...] = field(init=False)  # by the survey alone
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
        openings = BUDGET_OPENINGS if plan.has_budget else INCREMENTS
        self.limit(openings if self.ladder[0].count >= RAMP_PLACES else 1)

    def limit(self, openings: int) -> None:
        """Set the limits: of so many openings all but the first are still to come."""
        self.openings, plan = openings, self.plan
        if not plan.has_budget:
            generation = INCREMENTS - openings
            self.bounded = plan.bounded.at_generation(generation, max_saving=plan.max_saving)

    def plant(self) -> Asking[dict[PrunedGenome, Objectives]]:
        """Score the seeds of this generation's limits, as many as its part of the seeds' holds."""
        first = [] if self.memory.known(0) else self.first_seeds()
        simple, other = self.simple_cuts()
        others = [*simple, *self.grown(), *other, *self.cuts(), *self.random_seeds()]
        new = self.memory.fresh([*first, *others], 0)
        return (yield from self.memory.score(new[: self.seed_places(len(first))], 0))

    def seed_places(self, first: int) -> int:
        """How many seeds are scored now, of which the first so many are in any case."""
        room = self.room(0)
        if self.plan.has_budget and not first:
            return min(room, self.batch(0))
        openings = 1 if self.plan.has_budget else self.openings
        return min(room, first + max(1, int(SEED_SHARE * (room - first) / openings)))

    def first_seeds(self) -> list[PrunedGenome]:
        """The full network on the best schedule, the first step cut on others, probes on the best.

        Where steps may not differ the full network is on all. Under a budget it is too dear, and so
        are probes: all have the first cut, and one with a weaker first step.
        """
        plan, (best, *others) = self.plan, self.plan.start_times
        places = max(1, round(PROBE_SHARE * self.ladder[0].count))
        first = first_probe(self.bounded, plan.survey)
        if plan.has_budget:
            cuts = [genome.architecture for genome in self.cuts()[:1]]
            cuts += [] if first is None else self.within_budget([first])
            on_others = [PrunedGenome(times, cut) for cut in cuts[::-1] for times in others]
            return [*(PrunedGenome(best, cut) for cut in cuts), *on_others][:places]
        found = [PrunedGenome(best, plan.space.full)]
        found += [PrunedGenome(times, first or plan.space.full) for times in others]
        every = probes(self.bounded, plan.survey, places - len(found))
        return [*found, *(PrunedGenome(best, genome) for genome in every)][:places]

    def cuts(self) -> list[PrunedGenome]:
        """Cuts within the limits: on the best schedule, later on the times of the best so far.

        Greedy ones are by the survey, later by what scores say of it.
        """
        plan, is_known = self.plan, bool(self.memory.known(0))
        times = self.memory.best(0).times if is_known else plan.start_times[0]
        factors = self.memory.factors(0) if is_known else None
        paths = greedy_paths(plan.bounded, plan.survey, factors) if is_known else self.paths

        def order(genomes: Iterable[ArchitectureGenome]) -> list[ArchitectureGenome]:
            if not is_known:
                return by_error(genomes, plan.space, plan.survey)
            on_times = [PrunedGenome(times, genome) for genome in genomes]
            return [genome.architecture for genome in self.memory.ranked(on_times, 0)]

        if plan.has_budget:
            found = budget_seeds(self.bounded, paths, order)
        else:
            found = opening_seeds(self.bounded, paths, self.opened, order)
        return [PrunedGenome(times, genome) for genome in found]

    def simple_cuts(self) -> tuple[list[PrunedGenome], list[PrunedGenome]]:
        """What the survey alone would cut on its own schedule, and pure reuse; first in turn.

        However good the scores of others are: few images flatter what makes images alike.
        """
        plan = self.plan
        if plan.has_budget:
            return [], []  # the first cuts are all of this kind
        ends = [cheapest_above(path, self.bounded, self.bounded.least) for path in self.paths]
        reused = ends[-1:] if alternates(plan.space) else []
        least = by_error(ends, plan.space, plan.survey)[:1]
        pair = [
            [PrunedGenome(plan.start_times[0], cut) for cut in cuts if self.bounded.holds(cut)]
            for cuts in (least, reused)
        ]
        first, other = pair if self.openings % 2 == 0 else pair[::-1]
        return first, other

    def grown(self) -> list[PrunedGenome]:
        """From the best so far: all but its weakest steps cut as far as the limits are open.

        Then these steps weaker, or less weak; under a budget with the others cut to it.
        """
        plan, known = self.plan, self.memory.known(0)
        if not known or plan.space.max_configurations < 2:
            return []
        best = self.memory.best(0)
        if plan.candidate(best).architecture is None:
            return []  # no cut is better than the full network
        factors = self.memory.factors(0)
        path = around(plan.bounded, plan.survey, best.architecture, factors)
        ends = [genome for genome in path if self.bounded.holds(genome)][-1:]
        strides = deeper(self.bounded, plan.survey, best.architecture)
        if plan.has_budget:
            ends, strides = [], self.within_budget(strides)
        new = self.memory.fresh([PrunedGenome(best.times, genome) for genome in strides], 0)
        return [*(PrunedGenome(best.times, genome) for genome in ends), *new[:1]]

    def within_budget(self, genomes: Iterable[ArchitectureGenome]) -> list[ArchitectureGenome]:
        """All but their weakest steps cut until the budget holds them; those that can be."""
        plan, known = self.plan, self.memory.known(0)
        factors = self.memory.factors(0) if known else None
        paths = (around(plan.bounded, plan.survey, genome, factors) for genome in genomes)
        found = (dearest_within(path, plan.bounded, plan.bounded.most) for path in paths)
        return [genome for genome in found if genome is not None]

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
            if len(children) >= MOVED_OF:
                children = self.memory.fresh([*children[:-1], self.moved(level)], level)
            ga.tell((yield from self.memory.score(children, level)))
            if level == 0 and self.openings > 1:
                self.opened = self.bounded.least
                self.limit(self.openings - 1)
                ga.tell((yield from self.plant()))
            elif not children:
                return

    def batch(self, level: int) -> int:
        """Children of a generation; so few that places are left for the seeds of all openings."""
        if level > 0:
            return BATCHES[1]
        most = min(BATCHES[0], self.ladder[0].count // (2 * INCREMENTS))
        if self.openings > 1:
            most = min(most, int((1.0 - SEED_SHARE) * self.room(0) / self.openings))
        return max(1, most)

    def promote(self, level: int) -> Asking[None]:
        """Score those that lead each tier of the rung below, by FID and by the survey; its front.

        The best and the cheapest of them go first, so that a front has both its ends. FIDs are
        compared within one number of images, the one below. The survey has its say because few
        images flatter networks that make images alike.
        """
        self.limit(1)
        share = PROMOTED_SHARE["budget" if self.plan.has_budget else "front"]
        count = max(self.plan.num_points, round(share * self.ladder[level].count))
        known = self.memory.known(level - 1)
        fronts = [list(known)[i] for i in front_order(list(known.values()))]
        best = self.memory.leaders(level - 1)
        cheapest = sorted(best, key=self.memory.share)[:1]
        pairs = zip_longest(best, self.memory.steady(level - 1))
        leaders = [genome for pair in pairs for genome in pair if genome is not None]
        order = dict.fromkeys([*best[:1], *cheapest, *leaders, *fronts])
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

    def moved(self, level: int) -> PrunedGenome:
        """One of the best of each tier with its times moved; as it is where that cannot be run."""
        leaders = self.memory.leaders(level) or [self.memory.best(level)]
        one = leaders[int(self.rng.integers(len(leaders)))]
        times = mutate_times(one.times, self.plan.times, self.rng, MOVED_SCALE)
        if not self.plan.times.is_feasible(times):
            return one
        self.memory.stem(times, one.times)
        return PrunedGenome(times, one.architecture)

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
