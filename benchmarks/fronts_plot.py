"""The plot of a fronts benchmark: distance over cost, a panel for each number of calls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.front_points import Point, dominated_by
from benchmarks.fronts_table import OURS, SCHEDULES, Row, points_of

_STYLES = {
    OURS: {"color": "#c1272d", "marker": "o"},
    "pruned, one network for all steps": {"color": "#f4a582", "marker": "o"},
    "uniform": {"color": "#0571b0", "marker": "s"},
    "reuse": {"color": "#4dac26", "marker": "^"},
    "magnitude, no repair": {"color": "#999999", "marker": "x"},
    "layer skips, published": {"color": "#7b3294", "marker": "D"},
    SCHEDULES: {"color": "black", "marker": "*"},
}
_MOST = 3.0
"""Distances are shown up to so many times the worst full schedule's of a panel."""


def plot(rows: Sequence[Row], path: Path) -> None:
    """A staircase for each method of `_STYLES` and each seed.

    Stars are searched schedules on the full network. Nothing is drawn, and no file written, before
    a number of calls has pruned points.
    """
    counts = sorted({row["nfe"] for row in rows if row["method"] == OURS})
    if not counts:
        return
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(
        1,
        len(counts),
        figsize=(max(8.4, 4.2 * len(counts)), 4.6),
        layout="constrained",
        squeeze=False,
    )
    for axes, nfe in zip(panels[0], counts, strict=True):
        alone = _by_seed(rows, SCHEDULES, {row["nfe"] for row in rows if row["nfe"] <= nfe})
        full = [point for points in alone for point in points]
        for method, style in _STYLES.items():
            lines = alone if method == SCHEDULES else _by_seed(rows, method, {nfe})
            for place, points in enumerate(lines):
                front = [p for p in points if not dominated_by(p, points)]
                axes.plot(
                    [point.cost for point in front],
                    [point.fid for point in front],
                    drawstyle="steps-post",
                    linewidth=0.9,
                    markersize=9 if method == SCHEDULES else 4.5,
                    label=method if place == 0 else None,
                    **style,
                )
        axes.set_yscale("log")
        axes.set_xlim(0.4 * nfe, 1.03 * nfe)
        mine = [point for points in _by_seed(rows, OURS, {nfe}) for point in points]
        axes.set_ylim(0.8 * min(p.fid for p in [*full, *mine]), _MOST * max(p.fid for p in full))
        axes.set_xlabel("cost, passes of the full network")
        axes.set_title(f"{nfe} calls")
    panels[0][0].set_ylabel(f"FID, {rows[0]['num_samples']:,} images")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize="small")
    figure.suptitle(f"{rows[0]['model']}: fronts of pruned networks, one for each seed")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _by_seed(rows: Sequence[Row], method: str, counts: set[int]) -> list[list[Point]]:
    """The points of each seed, in order of cost."""
    mine = [row for row in rows if row["method"] == method and row["nfe"] in counts]
    seeds = sorted({row["seed"] for row in mine})
    return [sorted(points_of(row for row in mine if row["seed"] == seed)) for seed in seeds]
