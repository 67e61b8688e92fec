"""What a search over architectures knows: scores rung by rung, their fronts, and opinions."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evaluators.banks import Bank
from search.book import Book
from search.pruning_errors import step_errors
from search.pruning_front import (
    Point,
    best_of_tiers,
    non_dominated,
    pick_for_front,
    spread_over_cost,
)
from search.pruning_plan import FrontPoint, PrunedGenome, PruningOutcome, PruningPlan
from search.pruning_predictor import LEAST_FID, ErrorModel, Features
from search.pymoo_front import Objectives
from search.strategy import Asking
from space.candidate import Candidate
from space.timesteps import Genome


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Child:
    """A genome with all that is known of it before it is scored; made once for each genome.

    Attributes:
        genome: The genome.
        candidate: What it runs.
        share: Of the full network's cost.
        base: The schedule of stage 1 that its times are, or are near to.
        errors: Of its blocks at each step, by the survey.
    """

    genome: PrunedGenome
    candidate: Candidate
    share: float
    base: int
    errors: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """A child with its FID on some rung."""

    child: Child
    fid: float


class Memory:
    """Asks for scores and remembers them, each candidate once, whatever genomes stand for it.

    A rung is the place of a number of images among the plan's fidelities; FIDs of one are never
    compared with those of another. A candidate that failed once is not asked for again.

    Args:
        plan: What is searched.
    """

    def __init__(self, plan: PruningPlan) -> None:
        self._plan = plan
        self._book = Book(plan.ledger(), Bank("search"))
        self._children: dict[PrunedGenome, Child] = {}
        self._scored: list[list[Scored]] = [[] for _ in plan.fidelities]  # by FID, then age
        self._asked: list[set[Candidate]] = [set() for _ in plan.fidelities]
        self._failed: set[Candidate] = set()
        self._bases = {times: base for base, times in enumerate(plan.start_times)}

    @property
    def left(self) -> int:
        """Calls that may still be spent."""
        return self._plan.budget - self._book.ledger.spent

    def score(
        self, genomes: Iterable[PrunedGenome], level: int
    ) -> Asking[dict[PrunedGenome, Objectives]]:
        """Score what is new to a rung; objectives of those that did not fail.

        The budget must hold them: what it cannot pay for would be taken for failed.
        """
        children = self._new(genomes, level)
        asked = [child.candidate for child in children]
        fids = yield from self._book.score(asked, self._plan.fidelities[level])
        self._asked[level].update(asked)
        scored = [Scored(child, fid) for child, fid in zip(children, fids, strict=True)]
        self._failed.update(s.child.candidate for s in scored if math.isinf(s.fid))
        alive = [s for s in scored if math.isfinite(s.fid)]
        for one in alive:
            bisect.insort(self._scored[level], one, key=lambda s: s.fid)
        return {one.child.genome: self._objectives(one) for one in alive}

    def known(self, level: int) -> dict[PrunedGenome, Objectives]:
        """Objectives of all that was scored on a rung and did not fail, by FID."""
        return {one.child.genome: self._objectives(one) for one in self._scored[level]}

    def fresh(self, genomes: Iterable[PrunedGenome], level: int) -> list[PrunedGenome]:
        """Those that run something else than one another, than failed ones, and than is known."""
        return [child.genome for child in self._new(genomes, level)]

    def pick(self, genomes: Iterable[PrunedGenome], level: int, count: int) -> list[PrunedGenome]:
        """The most promising that are new to a rung: under a budget by FID, else for the front.

        Something must be known on the rung.
        """
        new = self._new(genomes, level)
        if not new:
            return []
        predicted = self._predicted(new, level)
        if self._plan.has_budget:
            order = sorted(range(len(new)), key=lambda i: (predicted[i], i))[:count]
        else:
            points = [(value, child.share) for value, child in zip(predicted, new, strict=True)]
            front = [(_log(one.fid), one.child.share) for one in self._scored[level]]
            order = pick_for_front(points, front, count)
        return [new[i].genome for i in order]

    def leaders(self, level: int) -> list[PrunedGenome]:
        """Those to improve on: under a budget the best, else of each tier; best FID first."""
        few = self._spread(level, 1) if self._plan.has_budget else self._tiers(level)
        return [one.child.genome for one in few]

    def best(self, level: int) -> PrunedGenome:
        """The best FID on a rung, on which something must be known."""
        return self._scored[level][0].child.genome

    def share(self, genome: PrunedGenome) -> float:
        """Of the full network's cost."""
        return self._child(genome).share

    def factors(self, level: int) -> list[list[float]]:
        """How often the survey's errors count with the best one's times, shape (steps, blocks)."""
        return self._model(level).factors(self._scored[level][0].child.base)

    def ranked(self, genomes: Iterable[PrunedGenome], level: int) -> list[PrunedGenome]:
        """Those that are new to a rung, by predicted FID; something must be known on it."""
        new = self._new(genomes, level)
        predicted = self._predicted(new, level) if new else []
        return [new[i].genome for i in sorted(range(len(new)), key=lambda i: (predicted[i], i))]

    def steady(self, level: int) -> list[PrunedGenome]:
        """On the first schedule's times those of each tier that err least by the survey.

        Under a budget none: there the survey has been followed from the start.
        """
        cuts = [one.child for one in self._cuts(level)[0] if one.child.base == 0]
        points = [(math.fsum(map(math.fsum, child.errors)), child.share) for child in cuts]
        count, least = self._plan.num_points, self._plan.bounded.least
        few = [] if self._plan.has_budget else best_of_tiers(points, count, least=least)
        return [cuts[i].genome for i in few]

    def stem(self, times: Genome, parent: Genome) -> None:
        """Note that times are near those of a schedule of stage 1, as their parent's are."""
        self._bases.setdefault(times, self._bases[parent])

    def outcome(self) -> PruningOutcome:
        """What is handed over, of the highest rung on which any candidate was scored."""
        level = max((i for i, scored in enumerate(self._scored) if scored), default=0)
        budgeted = self._plan.has_budget
        few = self._spread(level, self._plan.num_points) if budgeted else self._tiers(level)
        return PruningOutcome(
            points=tuple(self._front_point(one, level) for one in few),
            calls_spent=self._book.ledger.spent,
            history=tuple(self._book.history),
        )

    def _new(self, genomes: Iterable[PrunedGenome], level: int) -> list[Child]:
        """One child for each candidate that is neither known on a rung nor failed."""
        first: dict[Candidate, Child] = {}
        for child in map(self._child, genomes):
            first.setdefault(child.candidate, child)
        seen = self._asked[level], self._failed
        return [child for c, child in first.items() if c not in seen[0] and c not in seen[1]]

    def _child(self, genome: PrunedGenome) -> Child:
        if (found := self._children.get(genome)) is None:
            plan, candidate = self._plan, self._plan.candidate(genome)
            found = self._children[genome] = Child(
                genome=genome,
                candidate=candidate,
                share=plan.bounded.costs.share(genome.architecture),
                base=self._bases[genome.times],
                errors=step_errors(candidate.architecture, plan.space, plan.survey),
            )
        return found

    def _tiers(self, level: int) -> list[Scored]:
        """The best cut of each tier of cost, best FID first."""
        cuts, points, plan = *self._cuts(level), self._plan
        return [cuts[i] for i in best_of_tiers(points, plan.num_points, least=plan.bounded.least)]

    def _spread(self, level: int, count: int) -> list[Scored]:
        """A few points of the front of a rung's cuts, best FID first."""
        cuts, points = self._cuts(level)
        front = non_dominated(points)
        return [cuts[front[i]] for i in spread_over_cost([points[i] for i in front], count)]

    def _cuts(self, level: int) -> tuple[list[Scored], list[Point]]:
        """What was scored on a rung, by FID, but for the full network."""
        cuts = [s for s in self._scored[level] if s.child.candidate.architecture is not None]
        return cuts, [(one.fid, one.child.share) for one in cuts]

    def _front_point(self, one: Scored, level: int) -> FrontPoint:
        return FrontPoint(
            candidate=one.child.candidate,
            cost=self._plan.bounded.costs.cost(one.child.genome.architecture),
            share=one.child.share,
            fid=one.fid,
            num_samples=self._plan.fidelities[level],
        )

    def _objectives(self, one: Scored) -> Objectives:
        return (one.fid,) if self._plan.has_budget else (one.fid, one.child.share)

    def _predicted(self, children: Sequence[Child], level: int) -> list[float]:
        """Log FID on a rung, from the scores of it and of those below."""
        return self._model(level).predict([_features(child, level) for child in children])

    def _model(self, level: int) -> ErrorModel:
        known = [(one, rung) for rung in range(level + 1) for one in self._scored[rung]]
        return ErrorModel(
            [_features(one.child, rung) for one, rung in known],
            [one.fid for one, _ in known],
            bases=len(self._plan.start_times),
        )


def _features(child: Child, rung: int) -> Features:
    return Features(rung, child.base, child.errors)


def _log(fid: float) -> float:
    return math.log(max(fid, LEAST_FID))
