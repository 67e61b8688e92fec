"""The report table."""

from __future__ import annotations

import math
from statistics import fmean

import pytest

from evaluators.banks import Bank
from evaluators.price import Price
from evaluators.score import Ask, Score
from fewstep.spacing import named_grids
from search.report import SEARCHED, ReportRow, baselines, mean_and_error, report
from space.timesteps import TimestepSpace
from tests.unit.search.analytic import Judge, Played, judge, plan_of, play, value

SEARCHED_GENOME = (657, 514, 258, 18)


def space_of(solver: str = "dpm-solver++-2m") -> TimestepSpace:
    return plan_of(solver=solver).space


def table(solver: str = "dpm-solver++-2m", judge: Judge = judge) -> tuple[list[ReportRow], Played]:
    space = space_of(solver)
    named = {SEARCHED: space.candidate(SEARCHED_GENOME), **baselines(space, 4)}
    return play(report(named, num_samples=128, sets=3), judge)


def test_every_named_grid_has_a_row_and_the_searched_one_is_first() -> None:
    rows, _ = table()
    assert rows[0].names == (SEARCHED,)
    names = {name for row in rows[1:] for name in row.names}
    assert names == {*named_grids(space_of().process, 4), "leading (ddim)"}


def test_equal_grids_share_a_row_and_are_scored_once() -> None:
    rows, played = table()
    assert ("linspace", "uniform-t") in [row.names for row in rows]
    assert len(set(played.asks)) == len(played.asks)
    assert len({row.candidate for row in rows}) == len(rows)


def test_a_grid_that_is_the_searched_schedule_keeps_a_row_with_difference_zero() -> None:
    space = space_of()
    grids = baselines(space, 4)
    rows, _ = play(report({SEARCHED: grids["trailing"], **grids}, num_samples=128, sets=2))
    (row,) = [row for row in rows if "trailing" in row.names]
    assert (row.difference, row.difference_error) == (0.0, 0.0)
    assert rows[0].names == (SEARCHED,)


def test_the_first_order_uniform_row_costs_equal_calls() -> None:
    heun = baselines(plan_of(solver="heun", nfe=5).space, 5)
    assert heun["leading (ddim)"].steps == 5
    assert heun["leading"].steps == 3
    assert "leading (ddim)" not in baselines(space_of("euler"), 4)


def test_sets_are_disjoint_and_common_to_all_rows() -> None:
    _, played = table()
    for i, batch in enumerate(played.batches):
        assert {ask.bank for ask in batch} == {Bank("report", i)}
        assert {ask.num_samples for ask in batch} == {128}
    first = [ask.candidate for ask in played.batches[0]]
    assert all([ask.candidate for ask in batch] == first for batch in played.batches)


def test_means_errors_and_paired_differences_are_those_of_the_sets() -> None:
    rows, _ = table()
    row = next(row for row in rows if "karras-7" in row.names)
    banks = [Bank("report", i) for i in range(3)]
    mine = [value(Ask(row.candidate, bank, 128)) for bank in banks]
    searched = [value(Ask(rows[0].candidate, bank, 128)) for bank in banks]
    assert row.fids == tuple(mine)
    assert row.fid == pytest.approx(fmean(mine))
    spread = math.sqrt(sum((v - fmean(mine)) ** 2 for v in mine) / 2)
    assert row.standard_error == pytest.approx(spread / math.sqrt(3))
    assert row.difference == pytest.approx(fmean(mine) - fmean(searched))


def test_a_row_that_fails_says_why_and_has_no_mean() -> None:
    def linspace_fails(ask: Ask) -> Score:
        bad = ask.candidate == baselines(space_of(), 4)["linspace"] and ask.bank.set_index == 1
        return Score(None, "2 images are not finite", 0) if bad else judge(ask)

    rows, _ = table(judge=linspace_fails)
    (row,) = [row for row in rows if "linspace" in row.names]
    assert (row.fid, row.standard_error, row.difference) == (None, None, None)
    assert row.failure == "2 images are not finite"
    assert rows[0].fid is not None


def test_rows_are_plain_json_with_indices() -> None:
    rows, _ = table()
    document = rows[0].to_dict(space_of(), Price())
    assert document["indices"] == list(SEARCHED_GENOME)
    assert document["name"] == SEARCHED
    leading = next(row for row in rows if "leading (ddim)" in row.names).to_dict(
        space_of(), Price()
    )
    assert (leading["indices"], leading["solver"]) == ([750, 500, 250, 0], "ddim")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((1.0, 3.0), (2.0, 1.0)),
        ((2.0,), (2.0, None)),
        ((1.0, None), (None, None)),
        ((), (None, None)),
    ],
)
def test_mean_and_error(
    values: tuple[float | None, ...], expected: tuple[float | None, float | None]
) -> None:
    assert mean_and_error(values) == expected
