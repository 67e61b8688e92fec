"""The README's numbers of pruned networks: fronts beside all else that saves, and seconds."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmarks.fronts_table import OURS, SCHEDULES, Row, comparison, points_of
from benchmarks.pruning_seconds import SHARES as CUT_TO

RESULTS = Path(__file__).resolve().parent / "results"
SHARES = (0.85, 0.75, 0.6)
"""Of the searched schedule's cost, at which fronts are read."""


def section() -> list[str]:
    """A table for each model whose fronts were measured, and one of seconds."""
    lines: list[str] = []
    for path in sorted(RESULTS.glob("fronts-*.json"), reverse=True):  # digits before photographs
        rows: list[Row] = json.loads(path.read_text(encoding="utf-8"))
        lines += [*fronts(rows, path.stem), ""]
    for path in sorted(RESULTS.glob("pruning-seconds-*.json")):
        lines += [*seconds(json.loads(path.read_text(encoding="utf-8")), path.stem), ""]
    return lines


def fronts(rows: Sequence[Row], stem: str) -> list[str]:
    """How much worse than the searched schedule each method is, where it costs so much less."""
    first = rows[0]
    counts = sorted({row["nfe"] for row in rows if row["method"] == OURS})
    shares = " | ".join(f"{share:.0%}" for share in SHARES)
    lines = [
        f"**Pruned networks, `{first['model']}`**: FID over that of the searched schedule on the "
        "full network, at most at so much of its multiply-adds; mean and standard error over "
        f"seeds ({first['sets']} sets of {first['num_samples']:,} images, "
        f"{first['budget']:,} network calls a search). Hypervolume: in how many seeds that of "
        f"`pruned` is higher. Every point: `benchmarks/results/{stem}.md` (`make bench-pruning`).",
        "",
        f"![FID over cost, a front for each seed]({RESULTS.parent.name}/results/{stem}.png)",
        "",
        f"| calls | method | {shares} | `pruned` has more hypervolume | `pruned` above |",
        "|---|---" + "|---" * (len(SHARES) + 2) + "|",
    ]
    for nfe in counts:
        mine = [row for row in rows if row["nfe"] == nfe and row["method"] != SCHEDULES]
        methods = dict.fromkeys(row["method"] for row in mine)
        lines += [_line(rows, nfe, method) for method in methods]
    return lines


def _line(rows: Sequence[Row], nfe: int, method: str) -> str:
    found, ours = comparison(rows, nfe, method), comparison(rows, nfe, OURS)
    cells = [_ratios(rows, nfe, method, found.seeds, share) for share in SHARES]
    last = ["", ""]
    if method != OURS:
        last = [_wins(ours.seeds, ours.volumes, found.seeds, found.volumes), found.verdict]
    return f"| {' | '.join([str(nfe), method, *cells, *last])} |"


def _wins(
    seeds: Sequence[int], mine: Sequence[float], others: Sequence[int], theirs: Sequence[float]
) -> str:
    """In how many of the seeds that both have mine is more."""
    of_seed = dict(zip(seeds, mine, strict=True))
    both = [(of_seed[s], v) for s, v in zip(others, theirs, strict=True) if s in of_seed]
    return f"{sum(m > t for m, t in both)} of {len(both)}"


def _ratios(rows: Sequence[Row], nfe: int, method: str, seeds: Sequence[int], share: float) -> str:
    """The best FID within a share of the cost, over that of the full schedule."""
    found = []
    for seed in seeds:
        of_seed = [row for row in rows if (row["nfe"], row["seed"]) == (nfe, seed)]
        (full,) = points_of(row for row in of_seed if row["method"] == SCHEDULES)
        points = points_of(row for row in of_seed if row["method"] == method)
        within = [point.fid for point in points if point.cost <= share * full.cost]
        if not within:
            return ""
        found.append(min(within) / full.fid)
    error = f" ± {stdev(found) / math.sqrt(len(found)):.2f}" if len(found) > 1 else ""
    return f"{fmean(found):.2f}{error}"


def seconds(figures: dict[str, Any], stem: str) -> list[str]:
    """What of a saving in multiply-adds arrives in seconds."""
    full, again, *cuts = figures["rows"]
    of_kind = {
        title: [row for row in cuts if word in row["network"]] for word, title in _KINDS.items()
    }
    return [
        f"**Seconds, `{figures['model']}`**: one pass of an image takes the full network "
        f"{full['ms_per_image'][1]:.2f} ms in batches of {figures['images']} on "
        f"{figures['threads']} thread of {figures['device']}, and cut ones this share of it "
        f"(medians of {figures['turns']} turns; the full network again: "
        f"{again['time_share'][1]:.2f}). Networks and quartiles: "
        f"`benchmarks/results/{stem}.json` (`make bench-pruning`).",
        "",
        f"| about so much of the multiply-adds | {' | '.join(f'{s:.0%}' for s in CUT_TO)} |",
        "|---" * (len(CUT_TO) + 1) + "|",
        *(f"| {title} | {' | '.join(map(_time_share, rows))} |" for title, rows in of_kind.items()),
    ]


_KINDS = {
    "groups": "every block to the same width",
    "to whole vectors": "dearest blocks to whole vectors",
    "removed": "dearest bodies removed",
}


def _time_share(row: dict[str, Any]) -> str:
    return f"{row['time_share'][1]:.2f} (exactly {row['macs_share']:.1%})"
