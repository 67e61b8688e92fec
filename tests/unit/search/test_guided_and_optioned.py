"""Whole searches on the bundled model: options of each step searched, guidance taken apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import pytest

from evaluators.score import Ask, Numerics, Score, Scorer, calls_of
from evaluators.scorers import open_scorer
from evaluators.tasks import make_task
from fewstep.canonical import canonical_json
from fewstep.networks.models import resolve
from fewstep.request import SearchRequest
from fewstep.schedule import Schedule
from search.driver import run_search
from search.found import SearchResult
from search.journal import MemoryJournal

MODEL = "zoo:digits"
TINY: dict[str, object] = {
    "model": MODEL,
    "fidelities": [64],
    "num_finalists": 2,
    "report_images": 64,
    "report_sets": 2,
}
SEARCHES: dict[str, dict[str, object]] = {
    "scire-2, phi searched": {
        "solver": "scire-2",
        "nfe": 3,
        "budget": 4_000,
        "search_options": ["phi"],
    },
    "ltsp4 under a classifier": {
        "solver": "ltsp4",
        "nfe": 4,
        "budget": 3_500,
        "guidance": "classifier",
        "guidance_scale": 2.0,
        "search_options": ["gradient"],
        "solver_options": {"weights": "variable"},
    },
}


@dataclass(slots=True)
class DyingJournal(MemoryJournal):
    """Dies after so many rows: what was recorded stays."""

    rows_left: int = 0

    def record(
        self, *, seq: int, phase: str, ask: Ask, key: str, score: Score, cached: bool
    ) -> None:
        if self.rows_left == 0:
            raise KeyboardInterrupt
        self.rows_left -= 1
        MemoryJournal.record(
            self, seq=seq, phase=phase, ask=ask, key=key, score=score, cached=cached
        )


@contextmanager
def scorer_of(request: SearchRequest) -> Iterator[Scorer]:
    task = make_task(
        MODEL,
        guidance=request.guidance,
        guidance_scale=request.guidance_scale,
        numerics=Numerics(micro_batch=64),
    )
    with open_scorer("inline", task) as scorer:
        yield scorer


def search(request: SearchRequest, journal: MemoryJournal) -> SearchResult:
    with scorer_of(request) as scorer:
        return run_search(request, scorer, journal, resolve(MODEL))


@pytest.fixture(scope="module", params=SEARCHES)
def found(request: pytest.FixtureRequest) -> tuple[SearchRequest, MemoryJournal, SearchResult]:
    parsed, journal = SearchRequest.parse(TINY | SEARCHES[request.param]), MemoryJournal()
    return parsed, journal, search(parsed, journal)


Found = tuple[SearchRequest, MemoryJournal, SearchResult]


def test_it_ends_in_a_document_that_reads_back(found: Found) -> None:
    request, _, result = found
    schedule = Schedule.from_dict(result.schedule)
    assert (schedule.solver.name, schedule.solver.nfe) == (request.solver, request.nfe)
    assert schedule.model.guidance == request.guidance
    assert (schedule.model.guide is not None) == (request.guidance == "classifier")
    row = rows_of(result)[0]
    names = ("nfe", "network_calls", "gradient_calls", "cost")
    assert {n: row[n] for n in names} == {n: getattr(schedule.solver, n) for n in names}


def test_a_run_that_was_killed_ends_in_the_same_bytes(found: Found) -> None:
    request, journal, result = found
    died_at = len(journal.evaluations) * 4 // 5
    dying = DyingJournal(rows_left=died_at)
    dying.scores = dict(list(journal.scores.items())[: died_at - 2])
    with pytest.raises(KeyboardInterrupt):
        search(request, dying)
    resumed = MemoryJournal(scores=dict(dying.scores), evaluations=dict(dying.evaluations))
    again = search(request, resumed)
    assert canonical_json(again.schedule) == canonical_json(result.schedule)
    assert canonical_json(again.report) == canonical_json(result.report)


def test_calls_are_the_price_of_what_was_asked_and_within_the_budget(found: Found) -> None:
    request, journal, result = found
    with scorer_of(request) as scorer:
        asks = [row.ask for row in journal.evaluations.values() if row.phase != "report"]
        charged = sum(calls_of(scorer.task, ask) for ask in asks)
    assert result.calls == charged <= request.budget


def test_every_candidate_takes_the_calls_that_were_asked_for(found: Found) -> None:
    request, _, result = found
    assert {row["nfe"] for row in rows_of(result)} == {request.nfe}


def test_baselines_have_the_fixed_options_and_no_searched_ones(found: Found) -> None:
    request, _, result = found
    for row in rows_of(result)[1:]:
        options = {} if row["solver"] == "ddim" else request.solver_options
        assert row["options"] == options, row["name"]
    solvers = [row["solver"] for row in rows_of(result)[1:]]
    assert solvers.count("ddim") == 1, "uniform first-order sampling under the same guidance"


def test_searched_options_vary_among_the_candidates(found: Found) -> None:
    request, journal, _ = found
    tried = {row.ask.candidate.options for row in journal.evaluations.values()}
    for name in request.search_options:
        values = {dict(options).get(name) for options in tried}
        assert len(values) > 2, (name, values)


def rows_of(result: SearchResult) -> list[dict[str, object]]:
    """The report's rows."""
    return cast("list[dict[str, object]]", result.report["rows"])
