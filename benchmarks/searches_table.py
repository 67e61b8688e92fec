"""The markdown table of a searches benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict


class Row(TypedDict):
    """One search: which request, on which weights, how long, and its report."""

    request: str
    weights_sha256: str
    seconds: float
    computed: int
    report: dict[str, Any]


def markdown(rows: Sequence[Row]) -> str:
    """One section per solver and number of calls: the searches, then every grid, best first."""
    sections: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        sections.setdefault((row["report"]["solver"], row["report"]["nfe"]), []).append(row)
    return "\n".join(_section(solver, nfe, group) for (solver, nfe), group in sections.items())


def _section(solver: str, nfe: int, rows: Sequence[Row]) -> str:
    report = rows[0]["report"]
    uniform = uniform_of(report)
    best = grids_of(report)[0]
    lines = [
        f"## {solver}, {nfe} calls, {report['model']}",
        "",
        f"FID of {report['sets']} sets of {report['num_samples']:,} images, balanced labels, noise "
        "common to all rows; ± is the standard error over sets. Best grid minus searched is paired "
        "set by set.",
        "",
        "| schedule | seed | indices | FID | uniform ddim / this | best grid - this | calls |",
        "|---|---|---|---|---|---|---|",
        *(_search_line(row, uniform, best["name"]) for row in rows),
        *(_grid_line(grid, uniform) for grid in grids_of(report)),
        "",
    ]
    return "\n".join(lines)


def _search_line(row: Row, uniform: dict[str, Any], best_name: str) -> str:
    report = row["report"]
    searched = report["rows"][0]
    (best,) = [grid for grid in report["rows"][1:] if grid["name"] == best_name]
    gain = f"{best['difference']:+.4f} ± {best['difference_error']:.4f}"
    return (
        f"| **{report['strategy']}** | {report['seed']} | {_indices(searched)} | {_fid(searched)} "
        f"| {uniform['fid'] / searched['fid']:.1f} | {gain} | {report['calls']:,} |"
    )


def _grid_line(grid: dict[str, Any], uniform: dict[str, Any]) -> str:
    ratio = f"{uniform['fid'] / grid['fid']:.1f}"
    return f"| {grid['name']} | | {_indices(grid)} | {_fid(grid)} | {ratio} | | |"


def grids_of(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The grids that could be scored, best first; equal-cost rows of other solvers among them."""
    scored = [row for row in report["rows"][1:] if row["fid"] is not None]
    return sorted(scored, key=lambda row: float(row["fid"]))


def uniform_of(report: dict[str, Any]) -> dict[str, Any]:
    """Uniform (leading) first-order sampling at equal calls."""
    name = "leading" if report["solver"] == "ddim" else "leading (ddim)"
    (row,) = [row for row in report["rows"][1:] if name in row["names"]]
    uniform: dict[str, Any] = row
    return uniform


def _indices(row: dict[str, Any]) -> str:
    return " ".join(map(str, row["indices"]))


def _fid(row: dict[str, Any]) -> str:
    return f"{row['fid']:.4f} ± {row['standard_error']:.4f}"
