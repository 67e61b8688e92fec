"""The README's numbers of the colour model: its card, named grids, searches and their seconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.searches_table import Row, grids_of, uniform_of
from fewstep.networks.models import resolve

MODEL = "zoo:cifar10-16"
RESULTS = Path(__file__).resolve().parent / "results"
_STEM = MODEL.removeprefix("zoo:")


def section() -> list[str]:
    """A paragraph on the model, a table of grids, a table of searches."""
    card: Any = resolve(MODEL)
    rows = [
        row
        for path in sorted(RESULTS.glob(f"searches-{_STEM}-*.json"))
        for row in json.loads(path.read_text(encoding="utf-8"))
    ]
    grids = RESULTS / f"solvers-{_STEM}.json"
    document = json.loads(grids.read_text(encoding="utf-8")) if grids.exists() else {}
    tables = [found] if (found := _grids(document.get("cells", {}))) else []
    tables += [_searches(rows)] if rows else []
    return [_model(card), "", *(line for table in tables for line in (*table, ""))]


def _model(card: Any) -> str:
    measured = card.measured
    training, halves = measured["training"], measured["real_halves"]
    name, teacher = next(iter(measured["teachers"].items()))
    at_halves = teacher["at_half_counts"]
    folder = f"fewstep/networks/zoo/{_STEM}"
    return (
        f"**`{MODEL}`**: photographs of ten classes, 16x16 pixels, "
        f"{measured['weights']['parameters'] / 1e6:.1f} M parameters, trained on "
        f"{training['images_seen'] / 1e6:.2f} M images by the processor below "
        f"({training['images_per_second']:.0f} a second). Teacher ({name}): FID "
        f"{at_halves['fid']:.2f} at {at_halves['num_images_each']:,} images against as many real "
        f"ones, where real ones score {halves['fid']:.2f}; precision "
        f"{at_halves['precision']:.2f}, recall {at_halves['recall']:.2f}, class accuracy "
        f"{teacher['class_accuracy']:.2f}. Features of its own classifier "
        f"({measured['weights']['classifier_accuracy']:.3f} accurate): `{folder}/MODEL_CARD.md`."
    )


_GRIDS = (
    ("ddim", "default", "uniform (`leading`), `ddim`"),
    ("ddim", "best", "best grid, `ddim`"),
    ("dpm-solver++-2m", "best", "best grid, `dpm-solver++-2m`"),
)


def _grids(cells: dict[str, Any]) -> list[str]:
    """Uniform and best grids, at the same noise; none while they are still being measured."""
    calls = sorted({int(key.split("|")[1]) for key in cells})
    wanted = [f"{solver}|{n}|{which}" for solver, which, _ in _GRIDS for n in calls]
    if not wanted or any(key not in cells for key in wanted):
        return []
    count = cells[wanted[0]]["num_samples"]
    lines = [
        f"| {count:,} images | {' | '.join(f'{n} calls' for n in calls)} |",
        "|---" * (len(calls) + 1) + "|",
    ]
    for solver, which, title in _GRIDS:
        found = [cells[f"{solver}|{n}|{which}"] for n in calls]
        shown = [_cell(cell, with_grid=which == "best") for cell in found]
        lines.append(f"| {title} | {' | '.join(shown)} |")
    return lines


def _cell(cell: dict[str, Any], *, with_grid: bool) -> str:
    name = f" (`{cell['grid']}`)" if with_grid else ""
    return f"{cell['fid']:.2f} ± {cell['fid_error']:.2f}{name}"


def _searches(rows: Sequence[Row]) -> list[str]:
    """What a search finds, its cost in calls and seconds."""
    share = json.loads((RESULTS / f"network-share-{_STEM}.json").read_text(encoding="utf-8"))
    counts = {(row["report"]["sets"], row["report"]["num_samples"]) for row in rows}
    sets, images = min(counts)
    return [
        f"| searched, {sets} sets of {images:,} images | indices | FID | uniform / this "
        "| best grid - this | calls | minutes |",
        "|---|---|---|---|---|---|---|",
        *(_search(row) for row in rows),
        "",
        f"Minutes are of whole searches with every grid's report on {share['machine']['cores']} "
        f"cores, {share['share']:.1%} of the time of scoring inside the network "
        f"({share['calls_per_s']:,.0f} calls a second; `make bench-colour`).",
    ]


def _search(row: Row) -> str:
    report = row["report"]
    searched, uniform, best = report["rows"][0], uniform_of(report), grids_of(report)[0]
    gain = f"{best['difference']:+.2f} ± {best['difference_error']:.2f} (`{best['names'][0]}`)"
    return (
        f"| `{report['solver']}`, {report['nfe']} calls | "
        f"{' '.join(map(str, searched['indices']))} "
        f"| {searched['fid']:.2f} ± {searched['standard_error']:.2f} "
        f"| {uniform['fid'] / searched['fid']:.1f} | {gain} | {report['calls']:,} "
        f"| {row['seconds'] / 60:.1f} |"
    )
