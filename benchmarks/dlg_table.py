"""The tables and the plot of `benchmarks.dlg`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

TUNING_SEED = 100
# Okabe and Ito's colours, which colour-blind readers tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def markdown(document: dict[str, Any]) -> str:
    """Both arms of every integrator, by budget."""
    cells = _reported(document)
    if not cells:
        return ""
    budgets = sorted({cell["budget"] for cell in cells})
    where = document["machine"]
    eta = next(cell["eta"] for cell in cells)
    parts = [
        f"# Denoising MCMC on `{document['model']}`",
        "",
        f"FID of {document['num_samples']:,} images without labels (small-batch: it compares rows "
        "of this page and nothing else), mean over seeds ± its standard error, one seed where "
        "none stands; "
        f"{document['num_chains']} chains gave each DLG cell. eta {eta:g} (data in [-1, 1]), a "
        "quarter of the calls for chain steps, levels drawn, last state emitted; burn-in "
        f"{document['burn_in']} steps, chains started by {document['start_calls']}-call samples. "
        "RK45 by tolerance, 1e-1 to 1e-4.",
        "",
        f"{where['cores']} cores of {where['processor']}, torch {where['torch']}; "
        "`python -m benchmarks.dlg --out ...`",
        "",
        f"| integrator | | {' | '.join(f'{b} calls' for b in budgets)} | label switches at "
        f"{budgets[0]} |",
        "|---" * (len(budgets) + 3) + "|",
    ]
    for name in dict.fromkeys(cell["integrator"] for cell in cells):
        for has_chains in (False, True):
            parts.append(_row(cells, name, has_chains, budgets))
    parts += [
        "",
        "In brackets: calls per sample as plotted (chain steps and denoising), and with "
        "the chains' start and burn-in shared out.",
        "",
    ]
    return "\n".join(parts)


def plot(document: dict[str, Any], path: Path) -> None:
    """Distance against all-in calls, both axes logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    cells = _reported(document)
    names = list(dict.fromkeys(cell["integrator"] for cell in cells))
    figure, axes = pyplot.subplots(figsize=(7.5, 5), layout="constrained")
    for name, colour in zip(names, COLOURS, strict=True):
        for has_chains, style in ((False, "--"), (True, "-")):
            points = [
                _point(cells, name, has_chains, budget)
                for budget in sorted({cell["budget"] for cell in cells})
            ]
            label = f"{name} with DLG" if has_chains else name
            axes.plot(*zip(*points, strict=True), style, marker="o", color=colour, label=label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("network calls per sample, all in")
    axes.set_ylabel(f"FID, {document['num_samples']:,} images (small-batch)")
    axes.set_title(f"{document['model']}: with chains (solid) and without (dashed)")
    axes.legend(ncols=2, fontsize="small")
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def _reported(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells of the reported seeds."""
    return [cell for cell in document["cells"].values() if cell["seed"] != TUNING_SEED]


def _select(
    cells: Sequence[dict[str, Any]], name: str, has_chains: bool, budget: int
) -> list[dict[str, Any]]:
    wanted = (name, has_chains, budget)
    return [c for c in cells if (c["integrator"], c["has_chains"], c["budget"]) == wanted]


def _point(
    cells: Sequence[dict[str, Any]], name: str, has_chains: bool, budget: int
) -> tuple[float, float]:
    found = _select(cells, name, has_chains, budget)
    return fmean(c["all_in"] for c in found), fmean(c["fid"] for c in found)


def _row(
    cells: Sequence[dict[str, Any]], name: str, has_chains: bool, budgets: Sequence[int]
) -> str:
    shown = [_cell(_select(cells, name, has_chains, budget)) for budget in budgets]
    first = _select(cells, name, has_chains, budgets[0])
    switches = f"{fmean(c['label_switches'] for c in first):.2f}" if has_chains and first else ""
    return f"| {name} | {'DLG' if has_chains else 'plain'} | {' | '.join(shown)} | {switches} |"


def _cell(found: Sequence[dict[str, Any]]) -> str:
    if not found:
        return ""
    fids = [c["fid"] for c in found]
    error = f" ± {stdev(fids) / math.sqrt(len(fids)):.2f}" if len(fids) > 1 else ""
    plotted, all_in = fmean(c["plotted"] for c in found), fmean(c["all_in"] for c in found)
    calls = f"{plotted:.0f}" if plotted == all_in else f"{plotted:.0f}, {all_in:.1f}"
    return f"{fmean(fids):.2f}{error} ({calls})"
