"""The driver: every phase recorded in ask order, and the same after any interruption."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from evaluators.score import Ask, Score, score_key
from fewstep.canonical import canonical_json
from fewstep.errors import Cancelled, InvalidInput, ScoringFailed
from fewstep.request import SearchRequest
from fewstep.schedule import Schedule
from search.driver import run_search
from search.found import SearchResult
from search.journal import Evaluation, MemoryJournal
from search.strategies import STRATEGIES
from tests.unit.search.analytic import AnalyticScorer, card, fail_all, fail_some, request_of, task

QUICK = {
    "budget": 12_000,
    "fidelities": [64, 128],
    "paper_fraction": 0.001,
    "report_images": 64,
    "report_sets": 2,
}


def request(**fields: object) -> SearchRequest:
    return request_of(**{**QUICK, **fields})


def search(
    request: SearchRequest, journal: MemoryJournal, scorer: AnalyticScorer | None = None
) -> SearchResult:
    return run_search(request, scorer or AnalyticScorer(), journal, card())


def rows(journal: MemoryJournal) -> list[Evaluation]:
    """The table of evaluations in order, `cached` marks apart."""
    return [replace(journal.evaluations[seq], cached=False) for seq in sorted(journal.evaluations)]


@dataclass(slots=True)
class DyingJournal(MemoryJournal):
    """Dies after so many rows, as a killed process would: what was recorded stays."""

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


@pytest.mark.parametrize("strategy", STRATEGIES.names())
def test_an_interruption_at_any_row_changes_nothing(strategy: str) -> None:
    undisturbed = MemoryJournal()
    result = search(request(strategy=strategy), undisturbed)
    total = len(undisturbed.evaluations)
    for died_at in {0, 1, 7, total // 3, total // 2, total - 20, total - 1}:
        dying = DyingJournal(rows_left=died_at)
        with pytest.raises(KeyboardInterrupt):
            search(request(strategy=strategy), dying)
        assert len(dying.evaluations) == died_at
        resumed = MemoryJournal(scores=dying.scores, evaluations=dying.evaluations)
        scorer = AnalyticScorer()
        assert canonical_json(search(request(strategy=strategy), resumed, scorer).schedule) == (
            canonical_json(result.schedule)
        )
        assert rows(resumed) == rows(undisturbed), f"died at row {died_at}"
        assert len(scorer.computed) == total - died_at, "nothing is computed twice"


def test_rows_are_numbered_in_ask_order_without_gaps() -> None:
    journal = MemoryJournal()
    search(request(), journal)
    assert list(journal.evaluations) == list(range(len(journal.evaluations)))
    phases = [evaluation.phase for evaluation in rows(journal)]
    assert list(dict.fromkeys(phases)) == ["search", "selection", "report"]
    assert phases == sorted(phases, key=["search", "selection", "report"].index)


def test_a_cost_that_no_network_can_meet_is_refused_before_anything_is_scored() -> None:
    scorer = AnalyticScorer()
    with pytest.raises(InvalidInput, match=r"0\.1943 and more") as caught:
        search(request(pruning={"cost": 0.01}), MemoryJournal(), scorer)
    assert (caught.value.field, scorer.computed) == ("pruning.cost", [])


def test_each_phase_uses_its_own_bank() -> None:
    journal = MemoryJournal()
    search(request(), journal)
    assert all(row.phase == row.ask.bank.name for row in rows(journal))


def test_keys_are_those_of_task_and_ask() -> None:
    journal = MemoryJournal()
    search(request(), journal)
    assert all(row.key == score_key(task(), row.ask) for row in rows(journal))


def test_known_scores_are_marked_cached_and_counted_as_if_computed() -> None:
    first, second = MemoryJournal(), MemoryJournal()
    result = search(request(), first)
    second.scores = dict(first.scores)
    scorer = AnalyticScorer()
    again = search(request(), second, scorer)
    assert scorer.computed == []
    assert all(evaluation.cached for evaluation in second.evaluations.values())
    assert not any(evaluation.cached for evaluation in first.evaluations.values())
    assert again == result


def test_a_batch_that_is_partly_known_is_recorded_in_ask_order() -> None:
    first = MemoryJournal()
    search(request(), first)
    every_third = {key: score for i, (key, score) in enumerate(first.scores.items()) if i % 3 == 0}
    second = MemoryJournal(scores=every_third)
    known = len(every_third)
    search(request(), second)
    assert rows(second) == rows(first)
    assert sum(evaluation.cached for evaluation in second.evaluations.values()) == known


def test_the_document_is_a_valid_schedule_with_its_report() -> None:
    journal = MemoryJournal()
    result = search(request(seed=4), journal)
    schedule = Schedule.from_dict(result.schedule)
    assert schedule.model.name == "zoo:digits"
    assert schedule.solver.name == "dpm-solver++-2m"
    assert schedule.solver.nfe == 4
    report_rows = result.report["rows"]
    assert isinstance(report_rows, list)
    assert schedule.fitness["fid"] == report_rows[0]["fid"]
    assert schedule.fitness["num_samples"] == 64
    assert schedule.provenance["seed"] == 4
    assert list(schedule.times) == report_rows[0]["times"]
    canonical_json(result.report)


def test_calls_are_those_of_search_and_selection_within_the_budget() -> None:
    journal = MemoryJournal()
    result = search(request(), journal)
    assert 0.7 * 12_000 < result.calls <= 12_000
    selection = [row for row in rows(journal) if row.phase == "selection"]
    assert selection
    assert len({row.ask.num_samples for row in selection}) == 1


def test_progress_is_told_after_each_batch() -> None:
    journal = MemoryJournal()
    result = search(request(), journal)
    calls = [event.calls for event in journal.events]
    assert calls == sorted(calls)
    assert result.calls in calls
    assert all(event.best_fid is not None for event in journal.events)
    assert [*dict.fromkeys(event.phase for event in journal.events)] == [
        "search",
        "selection",
        "report",
    ]


def test_failed_candidates_are_recorded_with_their_reason() -> None:
    journal = MemoryJournal()
    search(request(), journal, AnalyticScorer(fail_some))
    failed = [row for row in rows(journal) if row.score.fid is None]
    assert failed
    assert all(row.score.failure for row in failed)


def test_a_search_whose_candidates_all_fail_is_an_error_and_keeps_its_rows() -> None:
    journal = MemoryJournal()
    with pytest.raises(ScoringFailed, match="every candidate"):
        search(request(), journal, AnalyticScorer(fail_all))
    assert journal.evaluations
    assert {event.best_fid for event in journal.events} == {None}


def test_a_cancelled_search_stops_before_the_next_batch() -> None:
    @dataclass(slots=True)
    class CancelledJournal(MemoryJournal):
        checks_left: int = 2

        def check(self) -> None:
            if self.checks_left == 0:
                raise Cancelled("cancelled by its owner")
            self.checks_left -= 1

    journal = CancelledJournal()
    with pytest.raises(Cancelled):
        search(request(), journal)
    assert len(journal.events) == 2


def test_a_request_that_the_budget_cannot_pay_is_refused_before_any_score() -> None:
    scorer = AnalyticScorer()
    with pytest.raises(InvalidInput, match="budget=255"):
        search(request(budget=255), MemoryJournal(), scorer)
    assert scorer.computed == []
