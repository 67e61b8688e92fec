"""The benchmark of fronts: what its tables say of rows, and that no cell is measured twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.fronts import in_order, main
from benchmarks.fronts_plot import plot
from benchmarks.fronts_table import OURS, SCHEDULES, Row, comparison, markdown
from benchmarks.readme_fronts import fronts


def row(nfe: int, seed: int, method: str, points: dict[float, float]) -> Row:
    """Points by cost, each with a standard error of 0.1."""
    return {
        "key": f"{nfe}|{seed}|{method}",
        "model": "zoo:digits",
        "weights_sha256": "w",
        "nfe": nfe,
        "seed": seed,
        "method": method,
        "budget": 1000,
        "num_samples": 64,
        "sets": 2,
        "points": [
            {"name": f"{nfe} at {cost}", "cost": cost, "fid": fid, "standard_error": 0.1}
            for cost, fid in points.items()
        ],
        "seconds": 1.0,
    }


def rows_of(seed: int, *, uniform: float) -> list[Row]:
    """Four calls and two; uniform cuts of the former to 3.2 passes."""
    return [
        row(2, seed, SCHEDULES, {2.0: 6.0}),
        row(4, seed, SCHEDULES, {4.0: 2.0}),
        row(2, seed, OURS, {1.5: 7.0}),
        row(4, seed, OURS, {3.5: 2.2, 1.9: 5.0}),
        row(4, seed, "uniform", {3.2: uniform, 2.1: 5.5}),
    ]


def test_rows_have_one_order_whichever_was_measured_first() -> None:
    rows = [*rows_of(1, uniform=5.0), *rows_of(0, uniform=5.0)]
    ordered = in_order(rows)
    assert ordered == in_order(rows[::-1])
    keys = [(r["nfe"], r["method"], r["seed"]) for r in ordered]
    assert keys[:5] == [
        (2, SCHEDULES, 0),
        (2, SCHEDULES, 1),
        (2, OURS, 0),
        (2, OURS, 1),
        (4, SCHEDULES, 0),
    ]
    assert keys[-1] == (4, "uniform", 1)


@pytest.mark.parametrize(
    ("uniform", "above"),
    [(5.0, 0), (4.72, 0), (4.71, 1), (1.0, 1)],  # 2 * sqrt(0.1^2 + 0.1^2) = 0.283
)
def test_ours_is_held_against_each_point_with_what_costs_no_more(
    uniform: float, above: int
) -> None:
    found = comparison(rows_of(0, uniform=uniform), 4, "uniform")
    assert (found.points, found.above, found.beyond) == (2, above, 0)


def test_points_cheaper_than_all_of_ours_count_as_above_and_are_told_apart() -> None:
    rows = [*rows_of(0, uniform=4.71), row(4, 0, "reuse", {1.4: 50.0, 1.9: 50.0})]
    assert comparison(rows, 4, "reuse").verdict == "1 of 2 (1 cheaper than all of ours)"
    assert comparison(rows, 4, "uniform").verdict == "1 of 2"


def test_hypervolumes_end_at_the_full_schedule_and_twice_its_distance() -> None:
    rows = rows_of(0, uniform=3.0)
    assert comparison(rows, 4, OURS).volumes == pytest.approx([0.5 * 1.8])
    assert comparison(rows, 4, "uniform").volumes == pytest.approx([0.8 * 1.0])
    assert comparison(rows, 4, "uniform").published == pytest.approx([0.8 * 1.0]), "6 is too bad"
    shorter = [row(2, 0, SCHEDULES, {2.0: 3.5}), *rows[1:]]
    assert comparison(shorter, 4, "uniform").published == pytest.approx([1.2 * 0.5 + 0.8 * 1.0])
    assert comparison(rows, 4, SCHEDULES).volumes == pytest.approx([0.0], abs=1e-6)


def test_pruned_points_that_shorter_schedules_beat_are_marked() -> None:
    rows = [*rows_of(0, uniform=3.0), row(3, 0, SCHEDULES, {3.0: 2.1})]
    table = markdown(rows)
    assert "| pruned | 0 | 3.50: 2.200 ± 0.100 (behind 3 at 3.0); 1.90: 5.000 ± 0.100 |" in table
    # up to 4 passes and 4: the schedule of 3 calls, then what 3.5 adds, which is nothing
    assert "| schedules alone | 1.900 | |" in table
    assert "| with pruned ones | 1.900 | 1 of 3 |" in table, "that of 2 calls is behind 1.9"


def test_the_readme_says_what_is_left_of_the_quality_within_a_share_of_the_cost() -> None:
    rows = [*rows_of(0, uniform=2.4), *rows_of(1, uniform=5.4)]
    lines = fronts(rows, "fronts-digits")
    assert "| 4 | pruned | 2.50 ± 0.00 | 2.50 ± 0.00 | 2.50 ± 0.00 |  |  |" in lines
    # 2.4 and 5.4 over 2.0 within 3.4; 5.5 within 3.0 and 2.4
    assert "| 4 | uniform | 1.95 ± 0.75 | 2.75 ± 0.00 | 2.75 ± 0.00 | 1 of 2 | 1 of 4 |" in lines


def test_nothing_is_drawn_before_something_was_pruned(tmp_path: Path) -> None:
    alone, both = tmp_path / "alone.png", tmp_path / "both.png"
    plot([row(4, 0, SCHEDULES, {4.0: 2.0})], alone)
    plot(rows_of(0, uniform=3.0), both)
    assert not alone.exists()
    assert both.stat().st_size > 0


@pytest.mark.parametrize("name", ["digits", "cifar10-16"])
def test_the_stored_table_is_that_of_the_stored_results(name: str, repository: Path) -> None:
    path = repository / "benchmarks" / "results" / f"fronts-{name}.json"
    rows = json.loads(path.read_text("utf-8"))
    assert path.with_suffix(".md").read_text("utf-8") == markdown(rows)


@pytest.mark.slow
def test_every_cell_is_measured_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "fronts.json"
    short = "nfe=2 seeds=0 budget=2000 paper-fraction=0.0005 fidelities=64"
    short += " report-images=16 report-sets=2 slots=1"
    options = [part for pair in short.split() for part in f"--{pair}".split("=")]
    command = [
        *options,
        "--methods",
        OURS,
        "reuse",
        "--shorter",
        "--scores",
        str(tmp_path / "scores.jsonl"),
        "--out",
        str(out),
    ]
    assert main(command) == 0
    first = capsys.readouterr()
    rows = json.loads(out.read_text("utf-8"))
    methods = [SCHEDULES, OURS, "reuse"]
    assert [r["method"] for r in rows] == methods
    assert first.err.count("...") == len(methods)
    assert all(point["cost"] < 2.0 for r in rows[1:] for point in r["points"])
    assert {len(point["fids"]) for r in rows for point in r["points"]} == {2}
    assert main(command) == 0
    assert capsys.readouterr() == (first.out, "")
    assert json.loads(out.read_text("utf-8")) == rows
