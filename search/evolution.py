"""Stage 1: times by evolution, from many starts, over a ladder of image counts.

1. Screening, with few images: the user's grids, every named grid, gamma curves from several start
   levels, the best grids restarted from lower levels.
2. Generations: pymoo's GA breeds many children, a surrogate picks the few that are scored.
   Survivors are spread over start levels, because few images often rank the wrong basin first.
3. Promotion of the best, spread over start levels, to more images; then generations there, with a
   surrogate that corrects the one below. And so on up the ladder.
4. Polish: coordinate steps from the best, halved when none of them helps.

All candidates share their noise (common random numbers), which makes small differences sharp.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from evaluators.banks import Bank
from search.book import Book
from search.ladder import Rung, rungs
from search.ledger import Ledger
from search.picking import pick
from search.plan import Plan
from search.pymoo_ga import PER_NICHE, ScheduleGA, spread
from search.strategy import Asking, Strategy, generator_for
from space.operators import moved
from space.seeds import curve_seeds, distinct, grid_seeds, named_user_seeds, restarts
from space.timesteps import Genome

SCREENING_SHARE = 0.4
"""Of the search budget, for the lowest rung: seeds and the first generations."""

SEED_SHARE = 0.75
"""Of the lowest rung, at most this much for seeds."""

PROMOTED_SHARE = 0.4
"""Of a higher rung's places, for candidates promoted from below; the others are for children."""

POLISH_SHARE = 0.12
"""Of the search budget, taken from the highest rung's part, for the polish at the end."""

RESTARTED_GRIDS = 2
POPULATION = 8
POOL = 16
"""Children bred for each one that is scored."""

BATCHES = (8, 4)
"""Children scored per generation: on the lowest rung, above it."""

FIRST_SCALES = (0.5, 0.3)
"""Jitter in lam of the first generation: on the lowest rung, above it."""

LAST_SCALE = 0.05
SCALE_DECAY = 0.85

APART = 0.15
"""Children of one generation are at least this many scales apart."""

NICHE_WIDTH = 0.6
"""Width in lam of a niche of start levels."""

POLISH_STEPS = (0.2, 0.01)
"""First and least step of the polish, in lam."""


def evolution(plan: Plan) -> Strategy:
    """The default strategy; see the module's docstring."""
    run = _Run(plan)
    yield from run.screen()
    for level in range(len(run.ladder)):
        if level > 0:
            yield from run.promote(level)
        yield from run.generations(level)
    yield from run.polish()
    return run.book.outcome(plan.num_finalists)


@dataclass(slots=True)
class _Run:
    """One run: the plan, the ladder, what is known, and the random generator."""

    plan: Plan
    rng: np.random.Generator = field(init=False)
    book: Book = field(init=False)
    ladder: list[Rung] = field(init=False)

    def __post_init__(self) -> None:
        plan = self.plan
        self.rng = generator_for(plan.seed, "evolution")
        self.book = Book(Ledger(plan.calls_per_image, plan.search_budget), Bank("search"))
        self.ladder = rungs(
            plan.fidelities,
            calls=plan.search_budget,
            calls_per_image=plan.calls_per_image,
            screening_share=SCREENING_SHARE,
            least=plan.num_finalists,
        )

    def screen(self) -> Asking[None]:
        """Score the seeds, as many as the lowest rung's seed share holds."""
        space, places = self.plan.space, max(1, round(SEED_SHARE * self.ladder[0].count))
        grids = grid_seeds(space)
        seeds = distinct([named_user_seeds(self.plan.user_seeds), grids, curve_seeds(space)])
        scored = yield from self.score(list(seeds.values())[:places], 0)
        names = [name for name, genome in seeds.items() if name in grids and genome in scored]
        best = sorted(names, key=lambda name: (scored[seeds[name]], seeds[name]))[:RESTARTED_GRIDS]
        lower = list(restarts({name: seeds[name] for name in best}, space).values())
        yield from self.score(lower[: max(0, places - len(seeds))], 0)

    def promote(self, level: int) -> Asking[None]:
        """Score the best of the rung below, spread over start levels, with more images.

        Who is promoted is decided within one number of images, the one below.
        """
        count = max(self.plan.num_finalists, round(PROMOTED_SHARE * self.ladder[level].count))
        ranked = list(self.known(level - 1))
        order = spread([self.niche(genome) for genome in ranked], PER_NICHE)
        yield from self.score([ranked[position] for position in order[:count]], level)

    def generations(self, level: int) -> Asking[None]:
        """Breed and score until the rung's part of the budget is spent."""
        if not self.known(level):
            return
        step, space = min(level, 1), self.plan.space
        ga = ScheduleGA(
            space,
            self.known(level),
            niche=self.niche,
            population=POPULATION,
            scale=FIRST_SCALES[step],
            rng=self.rng,
        )
        while (count := min(BATCHES[step], self.room(level))) > 0:
            known = [self.known(below) for below in range(level + 1)]
            pool = ga.ask(BATCHES[step] * POOL)
            children = pick(pool, known, space, count=count, apart=APART * ga.scale)
            if not children:
                return
            ga.tell((yield from self.score(children, level)))
            ga.scale = max(LAST_SCALE, ga.scale * SCALE_DECAY)

    def polish(self) -> Asking[None]:
        """Step along one coordinate after the other from the best, on the highest rung."""
        level, (step, least) = len(self.ladder) - 1, POLISH_STEPS
        while self.known(level) and step >= least:
            before = next(iter(self.known(level)))
            for i in self.rng.permutation(self.plan.space.steps).tolist():
                if self.left() < self.ladder[level].num_samples * self.plan.calls_per_image:
                    return
                best = next(iter(self.known(level)))
                steps = [[s * (i == j) for j in range(len(best))] for s in (step, -step)]
                yield from self.score([moved(best, s, self.plan.space) for s in steps], level)
            step = step if next(iter(self.known(level))) != before else step / 2

    def score(self, genomes: Iterable[Genome], level: int) -> Asking[dict[Genome, float]]:
        """Fitness, by genome, of the feasible ones with a rung's images."""
        space = self.plan.space
        wanted = [genome for genome in dict.fromkeys(genomes) if space.is_feasible(genome)]
        candidates = [space.candidate(genome) for genome in wanted]
        fitness = yield from self.book.score(candidates, self.ladder[level].num_samples)
        return dict(zip(wanted, fitness, strict=True))

    def known(self, level: int) -> dict[Genome, float]:
        """Finite fitness of all genomes scored with a rung's images, best first."""
        num_samples = self.ladder[level].num_samples
        ranked = self.book.ranked(num_samples)
        genome = self.plan.space.genome
        return {genome(c): self.book.fitness(c, num_samples) for c in ranked}

    def niche(self, genome: Genome) -> int:
        """The niche of a genome: its start level, coarsely."""
        return round(self.plan.space.lams[genome[0]] / NICHE_WIDTH)

    def left(self) -> int:
        """Calls that may still be spent."""
        return self.plan.search_budget - self.book.ledger.spent

    def room(self, level: int) -> int:
        """How many children a rung can still pay for; rungs above and polish keep their parts."""
        above, below = self.ladder[level + 1 :], self.ladder[level].num_samples
        held = 0 if above else int(POLISH_SHARE * self.plan.search_budget)
        for rung in above:
            held += rung.count * (rung.num_samples - below) * self.plan.calls_per_image
            below = rung.num_samples
        return (self.left() - held) // (self.ladder[level].num_samples * self.plan.calls_per_image)
