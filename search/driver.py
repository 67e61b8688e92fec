"""One search from request to schedule document: strategy, selection, report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluators.score import Scorer
from fewstep.networks.guidance import label_guide, level_guide
from fewstep.request import SearchRequest
from fewstep.schedule import Schedule
from search.conductor import Conductor
from search.journal import Journal
from search.plan import Plan, make_plan
from search.report import SEARCHED, ReportRow, baselines, report
from search.selection import select
from search.strategies import STRATEGIES
from search.strategy import Best

if TYPE_CHECKING:
    from fewstep.networks.card import ModelCard


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """What a search hands back.

    Attributes:
        schedule: The schedule document, as plain JSON values.
        report: The report table, as plain JSON values: `rows`, searched first.
        calls: Network calls of the search and selection phases.
    """

    schedule: dict[str, object]
    report: dict[str, object]
    calls: int


def run_search(
    request: SearchRequest, scorer: Scorer, journal: Journal, card: ModelCard
) -> SearchResult:
    """Search, pick the winner on the selection bank, report it beside every named grid.

    Nothing but the request, the scores and the card decides the result, so a search that is run
    again over the journal of an interrupted one ends as that one would have.

    Raises:
        InvalidInput: the request does not fit the model, or its budget pays for nothing.
        ScoringFailed: the machinery failed, or every candidate did.
        Cancelled, LeaseLost: from the journal.
    """
    gradient_cost = scorer.task.price.gradient_cost
    micro_batch = scorer.task.numerics.micro_batch
    plan = make_plan(
        request, card.make_process(), gradient_cost=gradient_cost, micro_batch=micro_batch
    )
    ledger = plan.ledger()
    conductor = Conductor(scorer, journal, ledger)
    outcome = conductor.conduct("search", STRATEGIES.get(request.strategy)(plan))
    winner = conductor.conduct("selection", select(plan, outcome.finalists))
    calls = ledger.spent
    named = {SEARCHED: winner, **baselines(plan.space, request.nfe)}
    rows = conductor.conduct(
        "report", report(named, num_samples=request.report_images, sets=request.report_sets)
    )
    return SearchResult(
        schedule=_document(request, scorer, card, rows[0], calls),
        report=_report(request, plan, rows, outcome.history, calls),
        calls=calls,
    )


def _document(
    request: SearchRequest, scorer: Scorer, card: ModelCard, row: ReportRow, calls: int
) -> dict[str, object]:
    """The searched schedule with where it comes from; no clock, so equal searches are equal."""
    schedule = Schedule.build(
        row.candidate.times,
        model=card.document_section(
            guidance_scale=request.guidance_scale,
            guide=label_guide(card) if request.guidance == "classifier" else None,
            clip_denoised=scorer.task.clip_denoised,
        ),
        solver=row.candidate.solver,
        options=dict(row.candidate.options),
        fitness=_fitness(request, scorer, row),
        provenance={
            "strategy": request.strategy,
            "seed": request.seed,
            "network_calls": calls,
            "request": request.resolved(),
        },
    )
    plan = row.candidate.chain_plan
    if plan is not None:
        images = scorer.task.numerics.micro_batch
        schedule = schedule.with_chains(plan, guide=level_guide(card), images=images)
    return schedule.to_dict()


def _fitness(request: SearchRequest, scorer: Scorer, row: ReportRow) -> dict[str, object]:
    """The reported score with everything that must be said beside it."""
    return {
        "metric": "frechet-distance",
        "fid": row.fid,
        "standard_error": row.standard_error,
        "fids": list(row.fids),
        "num_samples": request.report_images,
        "sets": request.report_sets,
        "bank": "report",
        "reference": scorer.task.reference,
        "reference_sha256": scorer.task.reference_sha256,
        "extractor": scorer.task.extractor,
    }


def _report(
    request: SearchRequest,
    plan: Plan,
    rows: Sequence[ReportRow],
    history: Sequence[Best],
    calls: int,
) -> dict[str, object]:
    """The table, and the way there."""
    dlg = {} if request.dlg is None else {"dlg": request.dlg.model_dump(mode="json")}
    return {
        "model": request.model,
        "solver": plan.space.solver,
        "solver_options": request.solver_options,
        "search_options": list(request.search_options),
        "guidance": request.guidance,
        "guidance_scale": request.guidance_scale,
        **dlg,
        "nfe": request.nfe,
        "steps": request.steps,
        "strategy": request.strategy,
        "seed": request.seed,
        "calls": calls,
        "budget": request.budget,
        "num_samples": request.report_images,
        "sets": request.report_sets,
        "rows": [row.to_dict(plan.space, plan.price) for row in rows],
        "history": [
            {"calls": best.calls, "fid": best.fid, "num_samples": best.num_samples}
            for best in history
        ],
    }
