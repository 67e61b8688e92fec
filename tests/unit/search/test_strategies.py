"""What holds for every strategy: pure, replayable, within budget, unbroken by failures."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evaluators.score import Ask
from fewstep.solvers import SOLVERS
from search.ledger import Ledger
from search.plan import Plan
from search.strategies import STRATEGIES
from search.strategy import Outcome
from tests.unit.search.analytic import Judge, Played, fail_all, fail_some, judge, plan_of, play

ALL = pytest.mark.parametrize("name", STRATEGIES.names())


def run(name: str, plan: Plan, judge: Judge = judge) -> tuple[Outcome, Played]:
    return play(STRATEGIES.get(name)(plan), judge)


def small(**fields: object) -> Plan:
    return plan_of(**{"budget": 60_000, "paper_fraction": 0.005, **fields})


@ALL
def test_the_same_scores_give_the_same_asks(name: str) -> None:
    first, second = (run(name, small(seed=3)) for _ in range(2))
    assert first[1].batches == second[1].batches
    assert first[0] == second[0]


@ALL
def test_numpy_s_global_generator_is_neither_read_nor_written(name: str) -> None:
    np.random.seed(1)
    before = np.random.get_state()
    first = run(name, small())[1].batches
    assert str(np.random.get_state()) == str(before)
    np.random.seed(2)
    assert run(name, small())[1].batches == first


@ALL
def test_another_seed_asks_for_something_else(name: str) -> None:
    first, second = (run(name, small(seed=seed))[1].asks for seed in (0, 1))
    assert {ask.candidate for ask in first} != {ask.candidate for ask in second}


@ALL
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(
    nfe=st.integers(1, 8),
    budget=st.integers(300, 150_000),
    seed=st.integers(0, 2**31 - 1),
    solver=st.sampled_from(["ddim", "dpm-solver++-2m"]),
    ladder=st.sampled_from([(64,), (64, 128), (64, 256, 512), (256, 1024, 4096)]),
)
def test_no_budget_is_exceeded(
    name: str, nfe: int, budget: int, seed: int, solver: str, ladder: tuple[int, ...]
) -> None:
    if name == "paper":
        nfe, budget = max(nfe, 2), 500 * max(nfe, 2) * 25 + budget
    nfe = max(nfe, SOLVERS.get(solver).memory)
    budget = max(budget, nfe * ladder[0])
    plan = plan_of(
        solver=solver, nfe=nfe, budget=budget, seed=seed, fidelities=ladder, paper_fraction=0.005
    )
    outcome, played = run(name, plan)
    ledger = Ledger(plan.calls_per_image)
    spent = sum(ledger.charge(ask) for ask in played.asks)
    assert spent == outcome.calls_spent
    held = plan.num_finalists * plan.selection_images * plan.calls_per_image
    assert spent + (held if name != "paper" else 0) <= budget
    assert 1 <= len(outcome.finalists) <= plan.num_finalists
    assert len(set(outcome.finalists)) == len(outcome.finalists)


@pytest.mark.parametrize("name", ["evolution", "random"])
@pytest.mark.parametrize("budget", [60_000, 200_000, 1_000_000])
def test_most_of_the_budget_is_used(name: str, budget: int) -> None:
    outcome, _ = run(name, plan_of(budget=budget))
    assert outcome.calls_spent > 0.7 * budget


@ALL
def test_failed_candidates_are_survived_and_never_finalists(name: str) -> None:
    outcome, played = run(name, small(), fail_some)
    failed = [ask for ask in played.asks if fail_some(ask).fid is None]
    assert failed, "some candidate must have failed for this to mean anything"
    assert outcome.finalists
    assert not {ask.candidate for ask in failed} & set(outcome.finalists)


@ALL
def test_a_search_where_all_fail_ends_without_finalists(name: str) -> None:
    outcome, played = run(name, small(), fail_all)
    assert outcome.finalists == ()
    assert outcome.history == ()
    assert played.asks


@ALL
def test_the_best_finalist_is_the_best_that_was_scored_with_most_images(name: str) -> None:
    outcome, played = run(name, small())
    most = max(ask.num_samples for ask in played.asks)
    best = min(
        (judge(a).fid or math.inf, i) for i, a in enumerate(played.asks) if a.num_samples == most
    )
    assert outcome.finalists[0] == played.asks[best[1]].candidate


@ALL
def test_history_never_gets_worse_within_one_number_of_images(name: str) -> None:
    outcome, _ = run(name, small())
    for a, b in zip(outcome.history, outcome.history[1:], strict=False):
        assert a.calls <= b.calls
        assert a.num_samples != b.num_samples or b.fid <= a.fid


@pytest.mark.parametrize("name", ["evolution", "random"])
def test_no_ask_is_repeated_and_all_share_one_bank(name: str) -> None:
    _, played = run(name, plan_of())
    assert len(set(played.asks)) == len(played.asks)
    assert len({ask.bank for ask in played.asks}) == 1


@ALL
def test_an_alias_of_the_solver_changes_nothing(name: str) -> None:
    runs = [run(name, small(solver=solver))[1].asks for solver in ("ddim", "euler")]
    assert runs[0] == runs[1]


@pytest.mark.parametrize("name", ["evolution", "random"])
def test_promotions_are_decided_within_one_number_of_images(name: str) -> None:
    """Only what stands high on the rung below is raised."""
    _, played = run(name, plan_of())
    by_images: dict[int, list[Ask]] = {}
    for ask in played.asks:
        by_images.setdefault(ask.num_samples, []).append(ask)
    assert len(by_images) >= 2
    low, high = (by_images[n] for n in sorted(by_images)[:2])
    ranked = [ask.candidate for ask in sorted(low, key=lambda ask: judge(ask).fid or math.inf)]
    raised = [ask.candidate for ask in high if ask.candidate in ranked]
    assert raised[0] == ranked[0]
    if name == "random":
        assert raised == ranked[: len(raised)]
