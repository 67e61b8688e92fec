"""The markdown tables of a fronts benchmark."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Comparison:
    """A method beside ours.

    Attributes:
        seeds: Those it was measured with.
        volumes: For each its hypervolume, the searched schedule on the full network included.
        published: The same with searched schedules of fewer calls, which every front may have.
        points: How many points it has in all.
        above: At how many of them ours are more than `NOISE` standard errors above, or cost more.
        beyond: At how many all of ours cost more.
    """

    seeds: Sequence[int]
    volumes: Sequence[float]
    published: Sequence[float]
    points: int
    above: int
    beyond: int

    @property
    def verdict(self) -> str:
        """How often ours are above."""
        beyond = f" ({self.beyond} cheaper than all of ours)" if self.beyond else ""
        return f"{self.above} of {self.points}{beyond}"


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
    lines = [line for nfe in counts for line in _section(rows, nfe)]
    return "\n".join([*lines, *(_union(rows, counts) if len(counts) > 1 else [])]) + "\n"


def _section(rows: Sequence[Row], nfe: int) -> list[str]:
    mine = [row for row in rows if row["nfe"] == nfe]
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
        "Hypervolume up to twice the searched schedule's FID and its cost, of the method's points "
        "with that schedule, and with searched ones of fewer calls too; points where ours, with "
        f"these, is more than {NOISE:g} standard errors above, or costs more.",
        "",
        "| method | hypervolume, by seed | with shorter schedules | ours above |",
        "|---|---|---|---|",
    ]
    methods = dict.fromkeys(row["method"] for row in mine)
    lines += [_comparison_line(rows, nfe, method) for method in methods]
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


def comparison(rows: Sequence[Row], nfe: int, method: str) -> Comparison:
    """Hold a method's points at a number of calls against ours, seed by seed.

    Ours are the pruned points of that many calls, and searched schedules of so many and fewer on
    the full network: the front that a search service shows.
    """
    seeds = sorted({row["seed"] for row in rows if (row["nfe"], row["method"]) == (nfe, method)})
    volumes, published, gaps = [], [], []
    for seed in seeds:
        of_seed = [row for row in rows if row["seed"] == seed]
        alone = [r for r in of_seed if r["method"] == SCHEDULES and r["nfe"] <= nfe]
        full = points_of(r for r in alone if r["nfe"] == nfe)[0]
        theirs = points_of(r for r in of_seed if (r["nfe"], r["method"]) == (nfe, method))
        ours = points_of(r for r in of_seed if (r["nfe"], r["method"]) == (nfe, OURS))
        volumes.append(hypervolume([*theirs, full], _reference(full)))
        published.append(hypervolume([*theirs, *points_of(alone)], _reference(full)))
        gaps += above([*ours, *points_of(alone)], theirs, sigmas=NOISE)
    return Comparison(
        seeds=seeds,
        volumes=volumes,
        published=published,
        points=len(gaps),
        above=sum(gap.is_above for gap in gaps),
        beyond=sum(gap.ours is None for gap in gaps),
    )


def _reference(full: Point) -> tuple[float, float]:
    """Where hypervolumes end: at the cost of a schedule, and twice its distance."""
    return full.cost * (1 + 1e-9), 2 * full.fid


def _comparison_line(rows: Sequence[Row], nfe: int, method: str) -> str:
    found = comparison(rows, nfe, method)
    shown, published = _volumes(found.volumes), _volumes(found.published)
    return f"| {method} | {shown} | {published} | {found.verdict} |"


def _union(rows: Sequence[Row], counts: Sequence[int]) -> list[str]:
    """All numbers of calls together: what pruned points add to schedules alone."""
    lines = [
        "## All numbers of calls",
        "",
        f"Hypervolume up to {max(counts)} passes and twice the FID of the searched schedule with "
        f"so many calls, by seed; pruned points are those of {', '.join(map(str, counts))} calls. "
        "Dominated: schedules on the full network that cost no less and are no better than some "
        "pruned one.",
        "",
        "| points | hypervolume, by seed | schedules dominated |",
        "|---|---|---|",
    ]
    alone, both, dominated, total = [], [], 0, 0
    for seed in sorted({row["seed"] for row in rows if row["nfe"] == max(counts)}):
        of_seed = [row for row in rows if row["seed"] == seed]
        schedules = points_of(row for row in of_seed if row["method"] == SCHEDULES)
        pruned = points_of(row for row in of_seed if row["method"] == OURS)
        (full,) = points_of(
            r for r in of_seed if (r["nfe"], r["method"]) == (max(counts), SCHEDULES)
        )
        alone.append(hypervolume(schedules, _reference(full)))
        both.append(hypervolume([*schedules, *pruned], _reference(full)))
        dominated += sum(bool(dominated_by(point, pruned)) for point in schedules)
        total += len(schedules)
    return [
        *lines,
        f"| {SCHEDULES} | {_volumes(alone)} | |",
        f"| with {OURS} ones | {_volumes(both)} | {dominated} of {total} |",
        "",
    ]


def _volumes(volumes: Sequence[float]) -> str:
    shown = ", ".join(f"{volume:.3f}" for volume in volumes)
    if len(volumes) < 2:
        return shown
    error = stdev(volumes) / math.sqrt(len(volumes))
    return f"{shown} (mean {fmean(volumes):.3f} ± {error:.3f})"
