"""One search from request to schedule documents: strategy, selection, pruning, report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evaluators.measuring import PruningScorer
from evaluators.score import Scorer
from fewstep.request import SearchRequest
from fewstep.schedule import Schedule
from search.conductor import Conductor
from search.found import Documents, FoundSchedule, SearchResult
from search.journal import Journal
from search.paper_layers import paper_layers
from search.paper_stage import layer_plan
from search.plan import Plan, make_plan
from search.pruning_bases import bases_of
from search.pruning_limits import check_limits
from search.pruning_stage import Stage
from search.report import SEARCHED, ReportRow, baselines, report
from search.selection import select
from search.strategies import STRATEGIES
from search.strategy import Strategy
from space.candidate import Candidate

if TYPE_CHECKING:
    from fewstep.networks.card import ModelCard

FULL_NETWORK = "full network"
"""Under a cost limit, the schedule that the pruned one started from."""


def run_search(
    request: SearchRequest, scorer: Scorer, journal: Journal, card: ModelCard
) -> SearchResult:
    """Search, pick the winner on the selection bank, prune, report all beside every named grid.

    Nothing but the request, the scores, what was measured and the card decides the result, so a
    search that is run again over the journal of an interrupted one ends as that one would have.

    Raises:
        InvalidInput: the request does not fit the model, its budget pays for nothing, or no network
            is as cheap as it asks for. Nothing was spent.
        ScoringFailed: the machinery failed, or every candidate did.
        Cancelled, LeaseLost: from the journal.
    """
    gradient_cost = scorer.task.price.gradient_cost
    micro_batch = scorer.task.numerics.micro_batch
    plan = make_plan(
        request, card.make_process(), gradient_cost=gradient_cost, micro_batch=micro_batch
    )
    if request.pruning is not None:
        check_limits(request.pruning, card, steps=request.steps)
    ledger = plan.ledger()
    conductor = Conductor(scorer, journal, ledger)
    outcome = conductor.conduct("search", _strategy(request, plan, card))
    winner = conductor.conduct("selection", select(plan, outcome.finalists))
    stage = None
    named = {SEARCHED: winner}
    if request.pruning is not None and request.strategy != "paper":
        assert isinstance(scorer, PruningScorer), "scorers of real models measure networks"
        bases = bases_of(winner, outcome, plan.space, mode=request.pruning.mode)
        left = request.budget - ledger.spent
        stage = Stage(request.pruning, plan, bases, scorer, journal, card, budget=left)
        named = _named(winner, stage.candidates(conductor), has_limit=stage.has_limit)
    calls = ledger.spent
    rows = conductor.conduct(
        "report",
        report(
            named | baselines(plan.space, request.nfe),
            num_samples=request.report_images,
            sets=request.report_sets,
        ),
    )
    documents = Documents(request, scorer, card)
    mine = [row for row in rows if row.names[0] in named]
    found = [documents.found(row, calls=calls, seconds=_seconds(stage, row)) for row in mine]
    return SearchResult(
        schedules=tuple(found),
        report=documents.report(
            plan, rows, outcome.history, calls=calls, shares=_shares(mine, found)
        ),
        calls=calls,
    )


def _strategy(request: SearchRequest, plan: Plan, card: ModelCard) -> Strategy:
    """What a request is searched with first."""
    if request.strategy == "paper" and request.pruning is not None:
        return paper_layers(layer_plan(request, plan, card))
    return STRATEGIES.get(request.strategy)(plan)


def _named(
    winner: Candidate, pruned: Sequence[Candidate], *, has_limit: bool
) -> dict[str, Candidate]:
    """What is published, the best first: within a limit what keeps it, else the full network."""
    if has_limit:
        return {SEARCHED: pruned[0], FULL_NETWORK: winner}
    return {SEARCHED: winner} | {f"pruned {i}": c for i, c in enumerate(pruned, start=1)}


def _seconds(stage: Stage | None, row: ReportRow) -> float | None:
    return None if stage is None else stage.seconds(row.candidate)


def _shares(rows: Sequence[ReportRow], found: Sequence[FoundSchedule]) -> dict[Candidate, float]:
    """Of pruned candidates, as their documents have it."""
    shares = {}
    for row, schedule in zip(rows, found, strict=True):
        section = Schedule.from_dict(schedule.document).architecture
        if section is not None:
            shares[row.candidate] = section.share
    return shares
