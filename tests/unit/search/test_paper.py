"""Paper mode: the published counts, kinds of children, and settings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.score import Ask, Score
from fewstep.errors import InvalidInput
from search import paper as published
from search.paper import paper
from search.published import GENERATIONS, POPULATION, settings_of
from tests.unit.search.analytic import judge, plan_of, play
from tests.unit.space.strategies import generators, space_of


def test_it_evaluates_fifty_candidates_in_each_of_ten_generations() -> None:
    outcome, played = play(paper(plan_of(solver="ddim")))
    assert [len(batch) for batch in played.batches] == [POPULATION] * GENERATIONS
    assert len(played.asks) == 50 + 50 * (GENERATIONS - 1)
    assert {ask.num_samples for ask in played.asks} == {100}, "5000 images at 2 %"
    assert outcome.calls_spent == 500 * 100 * 4


def test_every_evaluation_has_noise_and_random_labels_of_its_own() -> None:
    _, played = play(paper(plan_of(solver="ddim")))
    assert [ask.bank.set_index for ask in played.asks] == list(range(500))
    assert {(ask.bank.name, ask.bank.labels) for ask in played.asks} == {("search", "random")}


def test_the_first_candidate_is_the_published_uniform_one() -> None:
    plan = plan_of(solver="ddim")
    _, played = play(paper(plan))
    assert plan.space.genome(played.asks[0].candidate) == (750, 500, 250, 0)


def test_half_of_the_first_generation_are_near_copies_of_the_uniform_seed() -> None:
    plan = plan_of(solver="ddim", nfe=10, paper_fraction=0.02)
    _, played = play(paper(plan))
    uniform = set(plan.space.genome(played.asks[0].candidate))
    shared = [len(uniform & set(plan.space.genome(ask.candidate))) for ask in played.batches[0]]
    assert max(shared[1:26]) < 3, "random candidates"
    assert min(shared[26:]) >= 5, "mutants of the seed"


@pytest.mark.parametrize(
    ("solver", "steps", "settings"),
    [
        ("ddim", 4, (25, 15, 0.25, 5000)),
        ("ddim", 5, (25, 10, 0.25, 3000)),
        ("ddim", 10, (25, 10, 0.25, 1000)),
        ("dpm-solver++-2m", 10, (25, 10, 0.1, 1000)),
        ("dpm-solver++-2m", 4, (25, 10, 0.1, 5000)),
    ],
)
def test_settings_are_the_published_ones(
    solver: str, steps: int, settings: tuple[int, int, float, int]
) -> None:
    found = settings_of(space_of(1000, steps, solver=solver))
    assert (found.mutants, found.crossovers, found.rate, found.images) == settings


def test_the_pick_is_the_best_value_the_archive_ever_saw() -> None:
    outcome, played = play(paper(plan_of(solver="ddim")))
    best = min(played.asks, key=lambda ask: judge(ask).fid or 9.0)
    assert outcome.finalists == (best.candidate,)


def test_later_generations_breed_from_the_best() -> None:
    """Children share points with the archive's best ten, immigrants do not."""
    plan = plan_of(solver="ddim")
    _, played = play(paper(plan))
    scored = sorted(played.asks[:450], key=lambda ask: judge(ask).fid or 9.0)[:10]
    elite = [set(plan.space.genome(ask.candidate)) for ask in scored]

    def related(ask: Ask) -> bool:
        return any(len(e & set(plan.space.genome(ask.candidate))) >= 2 for e in elite)

    last = played.batches[-1]
    assert sum(map(related, last[:40])) >= 30
    assert sum(map(related, last[40:])) <= 2


def test_a_partial_run_is_refused_with_its_price() -> None:
    with pytest.raises(InvalidInput, match="needs 200000 network calls") as caught:
        plan_of(solver="ddim", strategy="paper", budget=199_999)
    assert caught.value.field == "budget"


def test_a_number_of_steps_without_uniform_seed_is_an_error_with_a_way_out() -> None:
    with pytest.raises(InvalidInput, match=r"steps=37: .*use strategy 'evolution' or 'random'"):
        plan_of(solver="ddim", nfe=37, strategy="paper", budget=10_000_000)


def test_a_space_too_small_for_new_candidates_still_gets_its_counts() -> None:
    """With two steps on few indices, redrawing gives up instead of hanging."""

    def all_equal(ask: Ask) -> Score:
        return Score(1.0, None, ask.num_samples * 2)

    plan = plan_of(solver="ddim", nfe=2, paper_fraction=0.001)
    object.__setattr__(plan, "space", space_of(8, 2))
    _, played = play(paper(plan), all_equal)
    assert len(played.asks) == 500


@given(generators, st.sampled_from([0.05, 0.25, 1.0]))
def test_mutants_keep_distinct_genes(rng: object, rate: float) -> None:
    import numpy as np

    assert isinstance(rng, np.random.Generator)
    space = space_of(200, 4)
    genome = published._random(space, rng)
    mutant = published._mutant(genome, rate, space, rng)
    assert len(set(mutant)) == 4
    if rate == 1.0:
        assert not set(mutant) & set(genome)


@given(generators)
def test_crossover_keeps_positions_and_separates_duplicates(rng: object) -> None:
    import numpy as np

    assert isinstance(rng, np.random.Generator)
    space = space_of(200, 4)
    a, b = (50, 120, 7, 180), (7, 51, 120, 181)
    child = published._cross(a, b, space, rng)
    assert len(set(child)) == 4
    assert all(min(abs(c - x), abs(c - y)) <= 2 for c, x, y in zip(child, a, b, strict=True))
