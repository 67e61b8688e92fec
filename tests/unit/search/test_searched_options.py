"""Strategies that choose options beside times: they find the better ones and stay in the budget."""

from __future__ import annotations

from statistics import fmean

import pytest

from evaluators.score import Ask, Score
from fewstep.canonical import canonical_json
from fewstep.errors import InvalidInput
from search.plan import Plan, make_plan
from search.strategies import STRATEGIES
from search.strategy import Outcome
from search.surrogate import Interpolant
from space.candidate import Candidate
from space.timesteps import Genome
from tests.unit.search.analytic import Played, plan_of, play, process, request_of, value

SCIRE: dict[str, object] = {"solver": "scire-2", "nfe": 7, "search_options": ["phi"]}
BEST_PHI = 0.7


def phis(candidate: Candidate) -> list[float]:
    """The phi of each step that has one."""
    given = dict(candidate.options).get("phi", (1.0,) * candidate.steps)
    assert isinstance(given, tuple)
    return [float(one) for one in given[:-1]]


def judged(ask: Ask) -> Score:
    """The stand-in objective, worse the farther every phi is from the best one."""
    away = fmean(abs(phi - BEST_PHI) for phi in phis(ask.candidate))
    return Score(value(ask) * (1.0 + 5.0 * away), None, 0)


def found(strategy: str, **fields: object) -> tuple[Plan, Outcome, Played]:
    plan = plan_of(**{**SCIRE, "budget": 300_000, **fields})
    outcome, played = play(STRATEGIES.get(strategy)(plan), judged)
    return plan, outcome, played


@pytest.mark.parametrize("seed", [0, 1])
def test_evolution_finds_the_better_options_of_most_steps(seed: int) -> None:
    _, outcome, _ = found("evolution", seed=seed)
    best = phis(outcome.finalists[0])
    near = sum(abs(phi - BEST_PHI) < 0.15 for phi in best)
    assert near >= len(best) - 1, best


def test_evolution_searches_both_better_than_times_alone_and_than_random() -> None:
    def fitness(outcome: Outcome) -> float:
        return outcome.history[-1].fid

    _, both, _ = found("evolution")
    _, times, _ = found("evolution", search_options=[])
    _, control, _ = found("random")
    assert fitness(both) < fitness(times), (fitness(both), fitness(times))
    assert fitness(both) < fitness(control), (fitness(both), fitness(control))


@pytest.mark.parametrize("strategy", ["evolution", "random"])
def test_the_same_scores_give_the_same_asks(strategy: str) -> None:
    assert found(strategy)[2].asks == found(strategy)[2].asks


@pytest.mark.parametrize("strategy", ["evolution", "random"])
@pytest.mark.parametrize(
    "fields",
    [
        SCIRE,
        {"solver": "plms4", "nfe": 7, "search_options": ["order"]},
        {"solver": "karras-churn", "nfe": 7, "search_options": ["s_churn"]},
        {
            "solver": "ltsp4",
            "nfe": 6,
            "search_options": ["order", "gradient", "weights"],
            "guidance": "classifier",
        },
    ],
    ids=lambda fields: str(fields["solver"]),
)
def test_every_candidate_takes_the_requested_calls_and_all_fit_the_budget(
    strategy: str, fields: dict[str, object]
) -> None:
    request = request_of(**fields, strategy=strategy, budget=60_000, fidelities=[64, 256])
    plan = make_plan(request, process(), gradient_cost=0.3)
    outcome, played = play(STRATEGIES.get(strategy)(plan), lambda ask: Score(value(ask), None, 0))
    entry = plan.space.entry
    calls = {
        entry.nfe_of_steps(ask.candidate.steps, dict(ask.candidate.options)) for ask in played.asks
    }
    assert calls == {request.nfe}
    assert len({ask.candidate.options for ask in played.asks}) > 3
    assert outcome.calls_spent <= plan.search_budget
    ledger = plan.ledger()
    assert sum(ledger.charge(ask) for ask in played.asks) == outcome.calls_spent


def test_the_dearest_choice_is_what_budgets_are_planned_with() -> None:
    fields: dict[str, object] = {"solver": "ltsp4", "nfe": 6, "guidance": "classifier"}
    request = request_of(**fields, search_options=["gradient"])
    plan = make_plan(request, process(), gradient_cost=0.25)
    assert plan.calls_per_image == 6 + 6 * 0.25
    omitted = (("gradient", ("omit",) * 6),)
    times = (1.0, 0.8, 0.6, 0.4, 0.2, 0.1, 0.0)
    assert plan.price.per_image(Candidate(solver="ltsp4", times=times, options=omitted)) == 6.0


def test_choices_without_effect_are_not_scored_twice() -> None:
    fields: dict[str, object] = {"solver": "dpm-solver++-2m", "search_options": ["order"]}
    plan = plan_of(**fields, budget=100_000, fidelities=[64, 256])
    _, played = play(STRATEGIES.get("evolution")(plan), lambda ask: Score(value(ask), None, 0))
    screened = {ask.candidate for ask in played.asks if ask.num_samples == 64}
    programs = {
        canonical_json(plan.space.program(plan.space.genome(candidate)).to_dict())
        for candidate in screened
    }
    assert len(programs) == len(screened) > 20


def test_fixed_options_are_those_of_every_candidate() -> None:
    fields = {"search_options": [], "solver_options": {"phi": 0.8}, "budget": 20_000}
    _, _, played = found("evolution", **fields)
    assert {tuple(phis(ask.candidate)) for ask in played.asks} == {(0.8,) * 3}


def test_the_surrogate_sees_options() -> None:
    space = plan_of(**SCIRE).space
    points = (800, 500, 250, 20)
    known: dict[Genome, float] = {
        (*points, *choices): 1.0 + abs(choices[0] - 2)
        for choices in [(0, 0, 0), (2, 0, 0), (4, 0, 0), (5, 0, 0), (2, 3, 0)]
    }
    near, far = Interpolant(space, known).predict([(*points, 2, 1, 0), (*points, 5, 1, 0)])
    assert near < far


def test_the_published_algorithm_has_no_options_to_search() -> None:
    with pytest.raises(InvalidInput, match="searches times alone") as caught:
        plan_of(**SCIRE, strategy="paper")
    assert caught.value.field == "search_options"
