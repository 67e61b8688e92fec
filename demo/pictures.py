"""The demo's pictures: samples side by side, and how the search converged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt
from torch import Tensor

from fewstep.wire import Report, ReportRow

# Okabe and Ito's palette, safe for colour-blind readers; one colour per role everywhere.
COLOURS = {"evolution": "#0072B2", "random": "#E69F00", "uniform": "#999999", "grid": "#009E73"}

mpl.use("Agg")


def save_comparison(rows: Mapping[str, Tensor], path: Path) -> None:
    """One row of images per title; images (B, C, H, W) in [-1, 1], the same noise in a column."""
    columns = min(images.shape[0] for images in rows.values())
    figure, axes = plt.subplots(
        len(rows), columns, figsize=(0.62 * columns + 2.6, 0.72 * len(rows)), squeeze=False
    )
    for line, (title, images) in zip(axes, rows.items(), strict=True):
        for axis, image in zip(line, images, strict=False):
            shown = ((image.clamp(-1, 1) + 1) / 2).permute(1, 2, 0).squeeze(-1).numpy()
            axis.imshow(shown, cmap="gray", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(title, rotation=0, ha="right", va="center", fontsize=9)
    figure.tight_layout(pad=0.3)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def save_convergence(
    reports: Mapping[str, Report], baselines: Sequence[ReportRow], path: Path
) -> None:
    """Best small-batch FID against network calls, one line per strategy and number of images.

    Values at different numbers of images are not comparable, so each is a line of its own; the
    horizontal lines are reported values, on other noise and with more images.
    """
    figure, axis = plt.subplots(figsize=(9.6, 4.2))
    for strategy, report in reports.items():
        colour = COLOURS[strategy]
        counts = sorted({best.num_samples for best in report.history})
        for style, count in zip((":", "--", "-"), counts[-3:], strict=False):
            points = [best for best in report.history if best.num_samples == count]
            axis.plot(
                [point.calls for point in points],
                [point.fid for point in points],
                style,
                marker=".",
                color=colour,
                label=f"{strategy}, best of search, N={count} (small-batch)",
            )
        searched = report.rows[0]
        if searched.fid is not None:
            axis.plot(
                report.calls,
                searched.fid,
                "*",
                markersize=13,
                color=colour,
                label=f"{strategy}, reported, N={report.num_samples} x {report.sets}",
            )
    for row, role in zip(baselines, ("uniform", "grid"), strict=False):
        if row.fid is not None:
            axis.axhline(row.fid, color=COLOURS[role], lw=1, label=f"{row.name}, reported")
    axis.set(
        xlabel="network calls",
        ylabel="FID (classifier features; lower is better)",
        yscale="log",
        xlim=(0, None),
    )
    axis.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)
