"""The default strategy: seeds, several starts, and better than what it started from."""

from __future__ import annotations

import math

import pytest

from search.evolution import evolution
from search.random_search import random_search
from space.seeds import grid_seeds
from tests.unit.search.analytic import judge, plan_of, play, value


def test_every_named_grid_is_screened() -> None:
    plan = plan_of()
    _, played = play(evolution(plan))
    screened = {a.candidate for a in played.asks if a.num_samples == plan.fidelities[0]}
    grids = grid_seeds(plan.space)
    missing = [n for n, genome in grids.items() if plan.space.candidate(genome) not in screened]
    assert not missing


def test_the_users_own_grids_are_screened_first() -> None:
    plan = plan_of(initial_times=[[657, 514, 258, 18]])
    _, played = play(evolution(plan))
    assert plan.space.genome(played.asks[0].candidate) == (657, 514, 258, 18)


def test_several_start_levels_are_promoted() -> None:
    plan = plan_of()
    _, played = play(evolution(plan))
    first = next(batch for batch in played.batches if batch[0].num_samples == plan.fidelities[1])
    starts = [plan.space.lams[plan.space.genome(ask.candidate)[0]] for ask in first]
    assert max(starts) - min(starts) > 1.0, starts


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_beats_every_seed_and_random_search(seed: int) -> None:
    plan = plan_of(seed=seed)
    outcome, played = play(evolution(plan))
    control, _ = play(random_search(plan))

    def true_value(candidate: object) -> float:
        (ask,) = {a for a in played.asks if a.candidate == candidate and a.num_samples == 1024}
        return value(ask)

    best = true_value(outcome.finalists[0])
    seeds = [a for a in played.asks if a.num_samples == 256][:20]
    assert best < 0.25 * min(value(a) for a in seeds) + 0.75 * 0.08
    control_value = judge_of(control.finalists[0])
    assert best < control_value


def judge_of(candidate: object) -> float:
    """The stand-in's value at 1024 images of the search bank."""
    from evaluators.banks import Bank
    from evaluators.score import Ask
    from space.candidate import Candidate

    assert isinstance(candidate, Candidate)
    return judge(Ask(candidate, Bank("search"), 1024)).fid or math.inf
