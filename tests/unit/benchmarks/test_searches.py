"""The benchmark of searches: a table that can be trusted, and no search run twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.searches import main
from benchmarks.searches_table import Row, markdown


def grid(name: str, fid: float | None, difference: float | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "names": name.split(" = "),
        "indices": [750, 250],
        "fid": fid,
        "standard_error": 0.01,
        "difference": difference,
        "difference_error": 0.002,
    }


def row(strategy: str = "evolution", seed: int = 0, searched: float = 0.1) -> Row:
    rows = [
        grid("searched", searched, 0.0),
        grid("karras-7", 0.2, 0.2 - searched),
        grid("log-snr", None),
        grid("leading (ddim)", 1.2, 1.2 - searched),
    ]
    report = {
        "model": "zoo:digits",
        "solver": "dpm-solver++-2m",
        "nfe": 2,
        "sets": 2,
        "num_samples": 8192,
        "strategy": strategy,
        "seed": seed,
        "calls": 123_456,
        "rows": rows,
    }
    return {
        "request": "r",
        "weights_sha256": "w",
        "seconds": 1.0,
        "computed": 1,
        "report": report,
    }


def test_a_search_is_set_against_uniform_first_order_sampling_and_the_best_grid() -> None:
    table = markdown([row()])
    assert (
        "| **evolution** | 0 | 750 250 | 0.1000 ± 0.0100 | 12.0 | +0.1000 ± 0.0020 | 123,456 |"
        in table
    )


def test_grids_are_listed_once_best_first_without_failed_ones() -> None:
    table = markdown([row(), row("random", 1, 0.15)])
    names = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")]
    assert names == ["schedule", "**evolution**", "**random**", "karras-7", "leading (ddim)"]


def test_each_solver_and_number_of_calls_has_a_section() -> None:
    other = row()
    other["report"]["nfe"] = 3
    assert markdown([row(), other]).count("## dpm-solver++-2m") == 2


SMALL = [
    *("--nfe=2", "--solver=ddim", "--strategies=random", "--budget=2048", "--slots=1"),
    *("--report-images=64", "--report-sets=2"),
]


def test_a_search_that_the_file_holds_is_not_run_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Real model, too few images for the numbers to mean anything."""
    out = tmp_path / "results" / "searches.json"
    arguments = [*SMALL, "--scores", str(tmp_path / "scores.jsonl"), "--out", str(out)]
    assert main([*arguments, "--seeds=0"]) == 0
    first = json.loads(out.read_text())
    assert len(first) == 1
    assert out.with_suffix(".md").read_text() in capsys.readouterr().out
    assert main([*arguments, "--seeds", "0", "1"]) == 0
    both = json.loads(out.read_text())
    assert both[0] == first[0]
    assert [entry["report"]["seed"] for entry in both] == [0, 1]
    grids = len(both[1]["report"]["rows"]) - 1
    assert both[1]["computed"] < first[0]["computed"] - grids, "grids were reported once"


def test_rows_of_other_weights_are_dropped(tmp_path: Path) -> None:
    out = tmp_path / "searches.json"
    out.write_text(json.dumps([row()]))
    scores = ["--scores", str(tmp_path / "scores.jsonl")]
    assert main([*SMALL, *scores, "--seeds=0", "--out", str(out)]) == 0
    assert "w" not in {entry["weights_sha256"] for entry in json.loads(out.read_text())}


def test_bad_input_is_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "searches.json")
    assert main(["--model=zoo:nothing", "--out", out]) == 2
    assert "zoo:digits" in capsys.readouterr().err
    assert main(["--nfe=0", "--out", out]) == 2
    assert "nfe=0" in capsys.readouterr().err
