"""The README's lines on solvers, guidance and chains, from their result files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.guided_table import in_order, saved

RESULTS = Path(__file__).resolve().parent / "results"
QUALITY, OVERHEAD = "solvers-digits.json", "solver-overhead.json"
GUIDED, DLG = "guided-digits.json", "dlg-digits.json"
SHOWN_CALLS = (4, 6, 10, 20)
NUM_SHOWN = 10
DIFFERENCES = ("scire-2", "scire-2 (m3)", "scire-2m", "scire-2m (m3)")
GUIDED_SHOWN = ("plms4", "dpm-solver++-2m", "add4", "ltsp4", "stsp2", "stsp4")
GUIDED_GOAL = 50


def tables() -> list[str]:
    """Solvers, guided sampling, and chains."""
    return [*_quality(_read(QUALITY)), *_guided(_read(GUIDED)), *_dlg(_read(DLG))]


def _read(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((RESULTS / name).read_text(encoding="utf-8"))
    return document


def _quality(document: dict[str, Any]) -> list[str]:
    """The best rows at each number of calls, and recursive against finite differences."""
    cells = document["cells"]
    names = dict.fromkeys(key.split("|")[0] for key in cells if not key.startswith("teacher"))
    exact = {
        (name, calls): cell
        for name in names
        for calls in SHOWN_CALLS
        if (cell := cells.get(f"{name}|{calls}|best")) is not None and cell["nfe"] == calls
    }
    best = sorted(
        (name for name in names if (name, SHOWN_CALLS[1]) in exact),
        key=lambda name: exact[name, SHOWN_CALLS[1]]["fid"],
    )[:NUM_SHOWN]
    shown = [*best, *(name for name in (*DIFFERENCES, "ddim") if name not in best)]
    num_samples = next(iter(cells.values()))["num_samples"]
    (teacher,) = (cell for key, cell in cells.items() if key.startswith("teacher"))
    lines = [
        f"**Solvers without a search**, each on its best closed-form grid ({num_samples:,} images; "
        f"± by jackknife; the {NUM_SHOWN} best at {SHOWN_CALLS[1]} calls, DDIM, and SciRE with "
        f"finite differences and with the published recursive ones (`m3`)). {len(names)} rows, "
        f"the grids' names and the grid `leading`: `benchmarks/results/{Path(QUALITY).stem}.md` "
        "(`make bench-solvers`). Full-step teacher, "
        f"{teacher['nfe']:,} calls: {teacher['fid']:.2f} ± {teacher['fid_error']:.2f}.",
        "",
        f"| solver | {' | '.join(f'{calls} calls' for calls in SHOWN_CALLS)} |",
        "|---" * (len(SHOWN_CALLS) + 1) + "|",
    ]
    for name in shown:
        row = [_fid(cells.get(f"{name}|{calls}|best"), calls) for calls in SHOWN_CALLS]
        lines.append(f"| `{name}` | {' | '.join(row)} |")
    return [*lines, ""]


def _fid(cell: dict[str, Any] | None, calls: int) -> str:
    if cell is None:
        return ""
    spent = "" if cell["nfe"] == calls else f" ({cell['nfe']} calls)"
    return f"{cell['fid']:.2f} ± {cell['fid_error']:.2f}{spent}"


def _guided(document: dict[str, Any]) -> list[str]:
    """What each solver saves on the way to DDIM's distance from the accurate solution."""
    lines = [
        f"**Guided sampling**: steps that come as near to the accurate solution as "
        f"{GUIDED_GOAL}-step DDIM, and the time they save, gradients included "
        f"({document['num_distance']} samples). Other goals, the distance to 1,000-step DDIM and "
        f"judged images: `benchmarks/results/{Path(GUIDED).stem}.md` (`make bench-guided`).",
        "",
        f"| problem | {' | '.join(f'`{name}`' for name in GUIDED_SHOWN)} |",
        "|---" * (len(GUIDED_SHOWN) + 1) + "|",
    ]
    for problem, entry in in_order(document["problems"]):
        row = [saved(entry, name, GUIDED_GOAL, 1) for name in GUIDED_SHOWN]
        lines.append(f"| {problem} | {' | '.join(row)} |")
    return [*lines, ""]


def _dlg(document: dict[str, Any]) -> list[str]:
    """The least and the largest budget of every integrator, without chains and with them."""
    cells = [cell for cell in document["cells"].values() if cell["seed"] < 100]
    budgets = sorted({cell["budget"] for cell in cells})
    lines = [
        f"**Denoising MCMC**: FID of {document['num_samples']:,} images without labels, plain → "
        "with chains (all-in calls in brackets); "
        f"`benchmarks/results/{Path(DLG).stem}.md` and its plot, `make bench-dlg`.",
        "",
        f"| integrator | {' | '.join(f'{budget} calls' for budget in budgets)} |",
        "|---" * (len(budgets) + 1) + "|",
    ]
    for name in dict.fromkeys(cell["integrator"] for cell in cells):
        row = [
            _arms([c for c in cells if (c["integrator"], c["budget"]) == (name, b)])
            for b in budgets
        ]
        lines.append(f"| {name} | {' | '.join(row)} |")
    return [*lines, ""]


def _arms(cells: Sequence[dict[str, Any]]) -> str:
    shown = []
    for has_chains in (False, True):
        arm = [cell for cell in cells if cell["has_chains"] == has_chains]
        calls = fmean(cell["all_in"] for cell in arm)
        shown.append(f"{fmean(cell['fid'] for cell in arm):.2f} ({calls:.0f})")
    return " → ".join(shown)


def overhead() -> list[str]:
    """The slowest sampler, and the range of ratios to diffusers."""
    document = _read(OVERHEAD)
    rows, where = document["rows"], document["machine"]
    slowest = max(rows, key=lambda row: row["ms_per_call"])
    ratios = [row["diffusers_ms_per_call"] / row["ms_per_call"] for row in rows if row["diffusers"]]
    return [
        f"- Beside the network a sampler takes at most {slowest['ms_per_call']:.2f} ms per call "
        f"(`{slowest['solver']}`, states {document['shape']}, one thread of {where['processor']}); "
        f"diffusers' schedulers of the same methods take {min(ratios):.1f} to {max(ratios):.1f} "
        f"times as long (`benchmarks/results/{Path(OVERHEAD).stem}.md`, `make bench-solvers`).",
    ]
