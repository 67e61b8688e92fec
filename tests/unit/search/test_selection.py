"""The winner is picked on the second bank."""

from __future__ import annotations

import pytest

from evaluators.score import Ask, Score
from fewstep.errors import ScoringFailed
from search.selection import select
from space.candidate import Candidate
from tests.unit.search.analytic import plan_of, play

FINALISTS = [Candidate(solver="ddim", times=(1.0, t, 0.0)) for t in (0.5, 0.4, 0.3)]


def test_the_best_on_the_selection_bank_wins_whatever_the_search_bank_said() -> None:
    plan = plan_of()
    order = [FINALISTS[1], FINALISTS[2], FINALISTS[0]]
    winner, played = play(
        select(plan, FINALISTS), lambda ask: Score(float(order.index(ask.candidate)), None, 0)
    )
    assert winner == FINALISTS[1]
    assert {ask.bank.name for ask in played.asks} == {"selection"}
    assert [ask.candidate for ask in played.asks] == FINALISTS


def test_its_price_is_the_part_of_the_budget_that_was_held_back() -> None:
    plan = plan_of(budget=200_000)
    asks = play(select(plan, FINALISTS))[1].asks
    assert {ask.num_samples for ask in asks} == {plan.selection_images}
    price = plan.num_finalists * plan.selection_images * plan.calls_per_image
    assert plan.search_budget + price == 200_000
    assert 0.15 * 200_000 < price <= 0.2 * 200_000


def test_a_tie_goes_to_the_better_ranked() -> None:
    assert play(select(plan_of(), FINALISTS), lambda _: Score(1.0, None, 0))[0] == FINALISTS[0]


def test_a_finalist_that_fails_there_does_not_win() -> None:
    def first_fails(ask: Ask) -> Score:
        return Score(None, "bad", 0) if ask.candidate == FINALISTS[0] else Score(9.0, None, 0)

    assert play(select(plan_of(), FINALISTS), first_fails)[0] == FINALISTS[1]


def test_a_single_finalist_is_not_scored() -> None:
    winner, played = play(select(plan_of(), FINALISTS[:1]))
    assert winner == FINALISTS[0]
    assert played.asks == []


def test_no_finalist_is_an_error() -> None:
    with pytest.raises(ScoringFailed, match="every candidate"):
        play(select(plan_of(), []))


def test_finalists_that_all_fail_are_an_error_with_the_reason() -> None:
    with pytest.raises(ScoringFailed, match="not finite"):
        play(select(plan_of(), FINALISTS), lambda _: Score(None, "3 are not finite", 0))
