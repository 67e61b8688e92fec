"""Whole searches whose images are drawn from chains, on the bundled model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import pytest

from evaluators.score import Numerics, Scorer, calls_of
from evaluators.scorers import open_scorer
from evaluators.tasks import make_task
from fewstep.canonical import canonical_json
from fewstep.errors import InvalidInput
from fewstep.networks.models import resolve
from fewstep.request import SearchRequest
from fewstep.schedule import Schedule
from search.driver import run_search
from search.found import SearchResult
from search.journal import MemoryJournal
from search.plan import make_plan
from search.publication import new_schedules
from search.random_search import random_search
from search.report import baselines
from space.chains import ETA_FACTORS, ChainSpace
from tests.unit.search.analytic import play, process, request_of
from tests.unit.search.test_guided_and_optioned import DyingJournal

MODEL = "zoo:digits"
MICRO_BATCH = 64
NFE = 4
TINY: dict[str, object] = {
    "model": MODEL,
    "nfe": NFE,
    "budget": 6_500,
    "fidelities": [64],
    "num_finalists": 2,
    "report_images": 64,
    "report_sets": 2,
    "dlg": {"chains": 16, "burn_in": 4, "start_calls": 4},
}
ALL_IN = NFE + (4 + 4) / (MICRO_BATCH / 16)

Rows = list[dict[str, object]]


@contextmanager
def scorer_of(slots: int = 1) -> Iterator[Scorer]:
    task = make_task(MODEL, numerics=Numerics(micro_batch=MICRO_BATCH), has_chains=True)
    with open_scorer("inline", task, slots=slots) as scorer:
        yield scorer


def search(journal: MemoryJournal, slots: int = 1) -> SearchResult:
    with scorer_of(slots) as scorer:
        return run_search(SearchRequest.parse(TINY), scorer, journal, resolve(MODEL))


Found = tuple[MemoryJournal, SearchResult]


@pytest.fixture(scope="module")
def found() -> Found:
    journal = MemoryJournal()
    return journal, search(journal)


def rows_of(result: SearchResult) -> Rows:
    return cast("Rows", result.report["rows"])


def test_it_ends_in_a_document_of_chains_that_reads_back(found: Found) -> None:
    _, result = found
    schedule = Schedule.from_dict(result.schedule)
    assert schedule.chains is not None
    assert (schedule.nfe, schedule.chains.cost) == (NFE, ALL_IN)
    assert (schedule.chains.chains, schedule.chains.windows) == (16, 4)
    assert schedule.chains.guide.sha256 == resolve(MODEL).guides["noise-level"]["sha256"]
    assert new_schedules(SearchRequest.parse(TINY), result)[0].nfe == NFE


def test_the_report_has_chains_first_and_plain_schedules_of_as_many_calls(found: Found) -> None:
    searched, *others = rows_of(found[1])
    assert (searched["nfe"], searched["network_calls"], searched["cost"]) == (NFE, NFE, ALL_IN)
    assert "chains" in searched
    assert {(row["nfe"], row["cost"], "chains" in row) for row in others} == {(NFE, 4.0, False)}
    names = {str(row["name"]) for row in others}
    assert {"leading (ddim)", "log-snr", "karras-7"} <= names, names


def test_both_genes_vary_among_the_candidates(found: Found) -> None:
    plans = [
        (plan, row.ask.candidate)
        for row in found[0].evaluations.values()
        if row.phase == "search" and (plan := row.ask.candidate.chain_plan)
    ]
    assert {plan.num_skip for plan, _ in plans} == {1, 2}
    start = [process().at(candidate.times[0]).rho for _, candidate in plans]
    factors = {round(plan.eta / rho**2, 6) for (plan, _), rho in zip(plans, start, strict=True)}
    assert len(factors) > 2, factors
    assert factors <= set(ETA_FACTORS), factors
    assert {candidate.steps for _, candidate in plans} == {NFE - 1, NFE - 2}


def test_calls_are_the_all_in_price_and_within_the_budget(found: Found) -> None:
    journal, result = found
    with scorer_of() as scorer:
        asks = [row.ask for row in journal.evaluations.values() if row.phase != "report"]
        charged = sum(calls_of(scorer.task, ask) for ask in asks)
    assert result.calls == charged == len(asks) * 64 * ALL_IN
    assert charged <= 6_500


def test_a_run_that_was_killed_ends_in_the_same_bytes_on_two_threads(found: Found) -> None:
    journal, result = found
    died_at = len(journal.evaluations) * 4 // 5
    dying = DyingJournal(rows_left=died_at)
    dying.scores = dict(list(journal.scores.items())[: died_at - 2])
    with pytest.raises(KeyboardInterrupt):
        search(dying)
    resumed = MemoryJournal(scores=dict(dying.scores), evaluations=dict(dying.evaluations))
    again = search(resumed, slots=2)
    assert canonical_json(again.schedule) == canonical_json(result.schedule)
    assert canonical_json(again.report) == canonical_json(result.report)


def test_random_search_draws_chains_too() -> None:
    plan = make_plan(request_of(nfe=6, dlg={}, budget=30_000, strategy="random"), process())
    _, played = play(random_search(plan))
    plans = [ask.candidate.chain_plan for ask in played.asks]
    assert len({p.num_skip for p in plans if p is not None}) > 2
    assert all(
        ask.candidate.steps + (p.num_skip if p else 0) == 6
        for ask, p in zip(played.asks, plans, strict=True)
    )


def test_chains_that_do_not_divide_a_batch_are_refused_before_the_search() -> None:
    with pytest.raises(InvalidInput, match="divisors of 256") as caught:
        make_plan(request_of(nfe=6, dlg={"chains": 48}), process())
    assert caught.value.field == "dlg.chains"


def test_the_least_budget_is_that_of_all_calls() -> None:
    with pytest.raises(InvalidInput, match="costs 2176 network calls"):
        make_plan(request_of(nfe=6, dlg={}, budget=2_000), process())


def test_a_solver_that_cannot_spend_every_call_is_compared_one_call_below() -> None:
    plan = make_plan(request_of(solver="heun", nfe=8, dlg={}), process())
    assert isinstance(plan.space, ChainSpace)
    assert plan.space.skips == (1, 3, 5, 7)
    named = baselines(plan.space, 8)
    assert {c.steps for name, c in named.items() if "ddim" not in name} == {4}, "7 calls of heun"
    assert named["leading (ddim)"].steps == 8
