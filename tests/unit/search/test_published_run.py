"""Generations of the published searches: how many children of each kind, and which archive."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from evaluators.price import Price
from evaluators.score import Score
from search.ledger import Ledger
from search.published import POPULATION, Settings
from search.published_run import Operators, PublishedRun
from space.candidate import Candidate
from tests.unit.search.analytic import play
from tests.unit.space.strategies import process

Genome = tuple[int, str]


def candidate(genome: Genome) -> Candidate:
    """One step at the index of a genome."""
    return Candidate(solver="ddim", times=(process(1000).time_of(genome[0]), 0.0))


def new_run() -> PublishedRun[Genome]:
    return PublishedRun(Ledger(1.0, None, Price()), 10, candidate)


class Counted:
    """Operators whose genomes say who made them and from whom, no two of them alike."""

    def __init__(self) -> None:
        self.numbers = itertools.count(1)
        self.parents: list[tuple[Genome, ...]] = []
        self.rates: set[float] = set()

    def made(self, kind: str, *parents: Genome) -> Genome:
        self.parents.append(parents)
        return (next(self.numbers) % 1000, kind)

    def mutant(self, genome: Genome, rate: float) -> Genome:
        self.rates.add(rate)
        return self.made("mutant", genome)

    @property
    def operators(self) -> Operators[Genome]:
        return Operators(
            rng=np.random.default_rng(0),
            random=lambda: self.made("random"),
            mutant=self.mutant,
            cross=lambda a, b: self.made("cross", a, b),
        )


def test_the_first_generation_is_the_seed_25_random_ones_and_24_mutants_of_the_seed() -> None:
    counted = Counted()
    first = new_run().first_generation((0, "uniform"), counted.operators)
    assert Counter(kind for _, kind in first) == {"uniform": 1, "random": 25, "mutant": 24}
    assert counted.rates == {0.1}
    assert {parents for parents in counted.parents if parents} == {((0, "uniform"),)}


@pytest.mark.parametrize(("crossovers", "immigrants"), [(15, 10), (10, 15)])
def test_later_ones_are_25_mutants_and_the_crossovers_and_immigrants_of_the_script(
    crossovers: int, immigrants: int
) -> None:
    run, counted = new_run(), Counted()
    play(run.evaluate(run.first_generation((0, "uniform"), counted.operators)))
    elite = set(run.elite)
    counted.parents.clear()
    settings = Settings(mutants=25, crossovers=crossovers, rate=0.25, images=10)
    following = run.next_generation(settings, counted.operators)
    kinds = Counter(kind for _, kind in following)
    assert kinds == {"mutant": 25, "cross": crossovers, "random": immigrants}
    assert len(following) == POPULATION
    assert counted.rates == {0.1, 0.25}
    chosen = {parent for parents in counted.parents for parent in parents}
    assert chosen <= elite
    assert len(elite) == 10
    assert len(chosen) > 5, "parents are any of the ten"


def test_seen_genomes_are_redrawn_and_give_up_in_the_end() -> None:
    run, counted = new_run(), Counted()
    few = itertools.cycle([(1, "a"), (2, "a"), (3, "a")])
    assert run.new(5, lambda: next(few)) == [(1, "a"), (2, "a"), (3, "a")]
    only = Operators(np.random.default_rng(0), lambda: (1, "a"), counted.mutant, lambda a, _: a)
    assert run.filled([(9, "b")], only) == [(9, "b")] + [(1, "a")] * 49


def test_the_last_generation_has_improved_only_where_it_holds_the_best_of_all() -> None:
    run = new_run()
    improved = []
    for index in (500, 400, 450, 300):  # lower is better here
        play(run.evaluate([(index, "a")]), lambda ask: _score(ask.candidate))
        improved.append(run.has_improved)
    assert improved == [True, True, False, True]
    assert [best.fid for best in run.history] == pytest.approx([0.501, 0.401, 0.401, 0.301])


def test_finalists_are_the_best_distinct_ones_first() -> None:
    run = new_run()
    genomes = [(5, "a"), (3, "a"), (3, "a"), (9, "a"), (1, "a")]
    play(run.evaluate(genomes), lambda ask: _score(ask.candidate))
    assert run.outcome(3).finalists == tuple(candidate((k, "a")) for k in (1, 3, 5))
    assert run.outcome().finalists == (candidate((1, "a")),)


def _score(candidate: Candidate) -> Score:
    return Score(candidate.times[0], None, 10)
