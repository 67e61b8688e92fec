"""The markdown tables of a fronts benchmark."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import fmean, stdev
from typing import Any, TypedDict

from benchmarks.front_points import Point, above, dominated_by, hypervolume

OURS = "pruned"
SCHEDULES = "schedules alone"
NOISE = 2.0
"""Standard errors that ours may lie above a point of others."""


class Row(TypedDict):
    """The points of one method from one searched schedule."""

    key: str
    model: str
    weights_sha256: str
    nfe: int
    seed: int
    method: str
    budget: int
    num_samples: int
    sets: int
    points: list[dict[str, Any]]
    seconds: float


def points_of(rows: Iterable[Row]) -> list[Point]:
    """Points that were scored on every set."""
    return [
        Point(
            cost=point["cost"],
            fid=point["fid"],
            standard_error=point["standard_error"],
            name=point["name"],
        )
        for row in rows
        for point in row["points"]
        if point["fid"] is not None
    ]


def markdown(rows: Sequence[Row]) -> str:
    """One section per number of calls that was pruned: fronts, then how methods compare."""
    counts = sorted({row["nfe"] for row in rows if row["method"] == OURS})
    return "\n".join(line for nfe in counts for line in _section(rows, nfe)) + "\n"


def _section(rows: Sequence[Row], nfe: int) -> list[str]:
    mine = [row for row in rows if row["nfe"] == nfe]
    seeds = sorted({row["seed"] for row in mine if row["method"] == OURS})
    first = mine[0]
    lines = [
        f"## {first['model']}, {nfe} calls",
        "",
        f"FID of {first['sets']} sets of {first['num_samples']:,} images, noise common to all "
        "rows; ± is the standard error over sets. Cost in passes of the full network.",
        "",
        "| method | seed | cost: FID |",
        "|---|---|---|",
    ]
    lines += [_points_line(row, rows) for row in mine]
    lines += [
        "",
        "Hypervolume up to twice the searched schedule's FID and its cost; points where ours, with "
        f"shorter schedules and the full network, is more than {NOISE:g} standard errors above.",
        "",
        "| method | hypervolume, by seed | ours above |",
        "|---|---|---|",
    ]
    methods = dict.fromkeys(row["method"] for row in mine)
    lines += [_comparison_line(rows, nfe, seeds, method) for method in methods]
    return [*lines, ""]


def _points_line(row: Row, rows: Sequence[Row]) -> str:
    shorter = [r for r in rows if r["method"] == SCHEDULES and r["nfe"] < row["nfe"]]
    others = points_of(r for r in shorter if r["seed"] == row["seed"])
    cells = []
    for point in sorted(points_of([row]), reverse=True):
        beaten = dominated_by(point, others)
        mark = f" (behind {beaten[0].name})" if beaten else ""
        cells.append(f"{point.cost:.2f}: {point.fid:.3f} ± {point.standard_error:.3f}{mark}")
    return f"| {row['method']} | {row['seed']} | {'; '.join(cells)} |"


def _comparison_line(rows: Sequence[Row], nfe: int, seeds: Sequence[int], method: str) -> str:
    volumes, count, total = [], 0, 0
    for seed in seeds:
        of_seed = [row for row in rows if row["seed"] == seed]
        alone = [r for r in of_seed if r["method"] == SCHEDULES and r["nfe"] <= nfe]
        full = points_of(r for r in alone if r["nfe"] == nfe)[0]
        theirs = points_of(r for r in of_seed if (r["nfe"], r["method"]) == (nfe, method))
        ours = points_of(r for r in of_seed if (r["nfe"], r["method"]) == (nfe, OURS))
        reference = (full.cost * (1 + 1e-9), 2 * full.fid)
        volumes.append(hypervolume([*theirs, full], reference))
        gaps = above([*ours, *points_of(alone)], theirs, sigmas=NOISE)
        count, total = count + sum(gap.is_above for gap in gaps), total + len(gaps)
    shown = ", ".join(f"{volume:.3f}" for volume in volumes)
    spread = f" (mean {fmean(volumes):.3f} ± {_error(volumes):.3f})" if len(volumes) > 1 else ""
    return f"| {method} | {shown}{spread} | {count} of {total} |"


def _error(values: Sequence[float]) -> float:
    return stdev(values) / math.sqrt(len(values))
