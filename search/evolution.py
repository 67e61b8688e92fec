"""Stage 1: times by evolution, from many starts, over a ladder of image counts.

1. Screening, with few images: the user's grids, every named grid, gamma curves from several start
   levels, the best grids restarted from lower levels; where options are searched, the best of these
   with each value of each option.
2. Generations: pymoo's GA breeds many children, a surrogate picks the few that are scored.
   Survivors are spread over start levels, because few images often rank the wrong basin first.
3. Promotion of the best, spread over start levels, to more images; then generations there, with a
   surrogate that corrects the one below. And so on up the ladder.
4. Polish: coordinate steps from the best, halved when none of them helps; choices of options go
   to the values beside.

All candidates share their noise (common random numbers), which makes small differences sharp.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from evaluators.banks import Bank
from search.book import Book
from search.ladder import Rung, places_left, rungs
from search.picking import pick
from search.plan import Plan
from search.pymoo_ga import PER_NICHE, ScheduleGA, spread
from search.strategy import Asking, Strategy, generator_for
from space.candidate import Candidate
from space.operators import beside
from space.seeds import distinct, named_user_seeds, option_seeds, restarts, starts
from space.timesteps import Genome

SCREENING_SHARE = 0.4
"""Of the search budget, for the lowest rung: seeds and the first generations."""

SEED_SHARE = 0.75
"""Of the lowest rung, at most this much for seeds."""

SEED_SHARE_BESIDE_OPTIONS = 0.5
"""The same where options are searched too: their values are tried on the best seeds."""

PROMOTED_SHARE = 0.4
"""Of a higher rung's places, for candidates promoted from below; the others are for children."""

POLISH_SHARE = 0.12
"""Of the search budget, taken from the highest rung's part, for the polish at the end."""

RESTARTED_GRIDS = 2
VARIED = 3
"""Best seeds of which options are varied."""

OPTION_SHARE = 0.5
"""Of what seeds leave of the lowest rung, at most this much for these."""

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
    scored: dict[str, Genome] = field(default_factory=dict)  # by hash of what is done
    genomes: dict[Candidate, Genome] = field(default_factory=dict)  # chains' have no inverse

    def __post_init__(self) -> None:
        plan = self.plan
        self.rng = generator_for(plan.seed, "evolution")
        self.book = Book(plan.ledger(plan.search_budget), Bank("search"))
        self.ladder = rungs(
            plan.fidelities,
            calls=plan.search_budget,
            calls_per_image=plan.calls_per_image,
            screening_share=SCREENING_SHARE,
            least=plan.num_finalists,
        )

    def screen(self) -> Asking[None]:
        """Score the seeds, as many as the lowest rung's seed share holds."""
        space = self.plan.space
        share = SEED_SHARE_BESIDE_OPTIONS if space.genes else SEED_SHARE
        places = max(1, round(share * self.ladder[0].count))
        grids, others = starts(space)
        seeds = distinct([named_user_seeds(self.plan.user_seeds), grids, others])
        scored = yield from self.score(list(seeds.values())[:places], 0)
        names = [name for name, genome in seeds.items() if name in grids and genome in scored]
        best = sorted(names, key=lambda name: (scored[seeds[name]], seeds[name]))[:RESTARTED_GRIDS]
        lower = list(restarts({name: seeds[name] for name in best}, space).values())
        yield from self.score(lower[: max(0, places - len(seeds))], 0)
        yield from self.try_options()

    def try_options(self) -> Asking[None]:
        """Score the best so far with each value of each searched option."""
        count = max(0, int(OPTION_SHARE * self.room(0)))
        best = {str(i): genome for i, genome in zip(range(VARIED), self.known(0), strict=False)}
        varied = option_seeds(best, self.plan.space)
        yield from self.score(list(varied.values())[:count], 0)

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
            pool = self.different(ga.ask(BATCHES[step] * POOL), dict(self.scored))
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
            genes = self.plan.space.steps + len(self.plan.space.genes)
            for i in self.rng.permutation(genes).tolist():
                if self.left() < self.plan.calls_for(self.ladder[level].num_samples):
                    return
                best = next(iter(self.known(level)))
                yield from self.score(beside(best, i, step, self.plan.space), level)
            step = step if next(iter(self.known(level))) != before else step / 2

    def score(self, genomes: Iterable[Genome], level: int) -> Asking[dict[Genome, float]]:
        """Fitness, by genome, of the feasible ones with a rung's images."""
        space = self.plan.space
        wanted = [genome for genome in dict.fromkeys(genomes) if space.is_feasible(genome)]
        wanted = self.different(wanted, self.scored)
        candidates = [space.candidate(genome) for genome in wanted]
        for candidate, genome in zip(candidates, wanted, strict=True):
            self.genomes.setdefault(candidate, genome)
        fitness = yield from self.book.score(candidates, self.ladder[level].num_samples)
        return dict(zip(wanted, fitness, strict=True))

    def different(self, genomes: list[Genome], seen: dict[str, Genome]) -> list[Genome]:
        """Those that do something else than others, here or in `seen`, to which they are added.

        Choices may have no effect: the order of a first step that has no history, for one.
        """
        space = self.plan.space
        if not space.genes:
            return genomes
        kept = []
        for genome in genomes:
            if space.allows(space.choices(genome)):
                kept += [genome] if seen.setdefault(space.deed(genome), genome) == genome else []
        return kept

    def known(self, level: int) -> dict[Genome, float]:
        """Finite fitness of all genomes scored with a rung's images, best first."""
        num_samples = self.ladder[level].num_samples
        ranked = self.book.ranked(num_samples)
        return {self.genomes[c]: self.book.fitness(c, num_samples) for c in ranked}

    def niche(self, genome: Genome) -> int:
        """The niche of a genome: its start level, coarsely."""
        return round(self.plan.space.lams[genome[0]] / NICHE_WIDTH)

    def left(self) -> int:
        """Calls that may still be spent."""
        return self.plan.search_budget - self.book.ledger.spent

    def room(self, level: int) -> int:
        """How many children a rung can still pay for; rungs above and polish keep their parts."""
        held, calls_for = int(POLISH_SHARE * self.plan.search_budget), self.plan.calls_for
        return places_left(self.ladder, level, left=self.left(), held=held, calls_for=calls_for)
