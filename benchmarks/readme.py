"""Write the README's numbers from benchmark results: `python -m benchmarks.readme`.

No figure in that section is typed: a test renders it again and compares.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import readme_colour, readme_fronts, readme_solvers
from benchmarks.searches_table import Row, grids_of, uniform_of

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
START, END = "<!-- numbers -->", "<!-- /numbers -->"
SEARCHES = "searches-digits-4.json"


def main() -> None:
    """Replace the section between the marks."""
    path = ROOT / "README.md"
    path.write_text(with_numbers(path.read_text(encoding="utf-8")), encoding="utf-8")


def with_numbers(readme: str) -> str:
    """The README with its numbers rendered from the results."""
    before, rest = readme.split(START)
    after = rest.split(END)[1]
    return f"{before}{START}\n{render()}{END}{after}"


def render() -> str:
    """All tables, and the lines on speed and memory."""
    rows: list[Row] = json.loads((RESULTS / SEARCHES).read_text(encoding="utf-8"))
    solvers = dict.fromkeys(str(row["report"]["solver"]) for row in rows)
    tables = [_table([row for row in rows if row["report"]["solver"] == s]) for s in solvers]
    solver_tables = [
        *readme_solvers.tables(),
        *readme_colour.section(),
        *readme_fronts.section(),
    ]
    lines = [*tables, _command(rows), "", *solver_tables, *_costs()]
    return "\n".join([*lines, *readme_solvers.overhead(), ""])


def _table(rows: Sequence[Row]) -> str:
    """Uniform, the best named grid, random search and evolution at one solver."""
    report = rows[0]["report"]
    uniform, best = uniform_of(report), grids_of(report)[0]
    # A name in brackets is another solver's row.
    count = sum("(" not in name for row in grids_of(report) for name in row["names"])
    lines = [
        f"**{report['nfe']} calls, `{report['solver']}`** "
        f"({report['sets']} sets of {report['num_samples']:,} images)",
        "",
        "| schedule | indices | FID | uniform / this | best grid - this |",
        "|---|---|---|---|---|",
        _line(f"uniform (`leading`), `{uniform['solver']}`", uniform, uniform, ""),
        _line(f"best of {count} named grids (`{best['names'][0]}`)", best, uniform, ""),
    ]
    for row in sorted(rows, key=lambda row: row["report"]["strategy"], reverse=True):
        name = f"{row['report']['strategy']}, seed {row['report']['seed']}"
        (paired,) = [grid for grid in row["report"]["rows"][1:] if grid["name"] == best["name"]]
        gain = f"{paired['difference']:+.3f} ± {paired['difference_error']:.3f}"
        lines.append(_line(name, row["report"]["rows"][0], uniform, gain))
    return "\n".join([*lines, ""])


def _line(name: str, row: dict[str, Any], uniform: dict[str, Any], gain: str) -> str:
    ratio = uniform["fid"] / row["fid"]
    indices = " ".join(map(str, row["indices"]))
    fid = f"{row['fid']:.3f} ± {row['standard_error']:.3f}"
    return f"| {name} | {indices} | {fid} | {ratio:.1f} | {gain} |"


def _command(rows: Sequence[Row]) -> str:
    budgets = sorted({int(row["report"]["calls"]) for row in rows})
    spent = f"{budgets[0]:,} to {budgets[-1]:,}" if len(budgets) > 1 else f"{budgets[0]:,}"
    return (
        f"Each search spent {spent} network calls. Every grid's row: "
        f"`benchmarks/results/{Path(SEARCHES).with_suffix('.md')}` (`make bench-searches`)."
    )


def _costs() -> list[str]:
    """Speed and memory, with their machine."""
    share = json.loads((RESULTS / "network-share.json").read_text(encoding="utf-8"))
    memory = json.loads((RESULTS / "service-memory.json").read_text(encoding="utf-8"))
    machine = share["machine"]
    return [
        f"On {machine['cores']} cores of {machine['processor']}, no GPU, torch {machine['torch']}:",
        "",
        f"- {share['share']:.1%} of the wall time of scoring is inside the network's forward, "
        f"{share['calls_per_s']:,.0f} network calls per second in {share['slots']} slots "
        "(`make bench`).",
        f"- Memory of the API {memory['api_mb']:.0f} MB, of the worker with its "
        f"{memory['slots']} Ray actors {memory['worker_mb']:.0f} MB, what processes share counted "
        f"once; counted once per process, {memory['api_rss_mb']:.0f} and "
        f"{memory['worker_rss_mb']:.0f} MB (`make bench`).",
    ]


if __name__ == "__main__":
    main()
