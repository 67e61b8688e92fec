"""What a search shows in a terminal: progress while it runs, the report at the end."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict, cast

from rich.console import Console
from rich.table import Table

from search.journal import MemoryJournal


class ShownRow(TypedDict):
    """The parts of a report row that are shown."""

    name: str
    solver: str
    indices: list[int]
    failure: str | None
    fid: float | None
    standard_error: float | None
    difference: float | None
    difference_error: float | None
    cost_share: NotRequired[float]


class LiveJournal(MemoryJournal):
    """A memory journal that also prints progress: one line a batch, on standard error."""

    __slots__ = ("_console", "_quiet")

    def __init__(self, *, quiet: bool) -> None:
        super().__init__()
        self._quiet = quiet
        self._console = Console(stderr=True)

    def progress(self, *, phase: str, calls: int, best_fid: float | None, message: str) -> None:
        """Note and print where the search is."""
        super().progress(phase=phase, calls=calls, best_fid=best_fid, message=message)
        if not self._quiet:
            best = "-" if best_fid is None else f"{best_fid:.4f}"
            line = f"{phase:9s} {calls:>9,} calls  best FID {best}  {message}"
            self._console.print(line, highlight=False, markup=False)


def print_report(report: Mapping[str, object]) -> None:
    """The report as a rich table in a terminal, as plain lines where piped."""
    rows = cast("list[ShownRow]", report["rows"])
    ordered = [rows[0], *sorted(rows[1:], key=_by_fid)]
    title = (
        f"{report['model']}, {report['solver']}, {report['nfe']} calls: "
        f"FID of {report['sets']} x {report['num_samples']} images"
    )
    if sys.stdout.isatty():
        _print_table(title, ordered)
    else:
        lines = [title, *("\t".join(_cells(row)) for row in ordered)]
        sys.stdout.write("\n".join(lines) + "\n")


def _print_table(title: str, rows: Sequence[ShownRow]) -> None:
    table = Table(title=title, caption="+ difference: worse than the searched schedule")
    for name in ("schedule", "indices"):
        table.add_column(name)
    for name in ("FID", "difference"):
        table.add_column(name, justify="right", no_wrap=True)
    for i, row in enumerate(rows):
        table.add_row(*_cells(row), style="bold" if i == 0 else None)
    Console().print(table)


def _cells(row: ShownRow) -> tuple[str, str, str, str]:
    """Name and cost, indices, FID with its standard error, difference with its own."""
    indices = " ".join(str(k) for k in row["indices"])
    cut = f" ({row['cost_share']:.1%} of the multiply-adds)" if "cost_share" in row else ""
    name = row["name"] + cut
    if row["fid"] is None:
        return name, indices, "failed", row["failure"] or ""
    fid = _with_error(row["fid"], row["standard_error"], signed=False)
    if row["name"] == "searched" or row["difference"] is None:
        return name, indices, fid, ""
    return (
        name,
        indices,
        fid,
        _with_error(row["difference"], row["difference_error"], signed=True),
    )


def _with_error(value: float, error: float | None, *, signed: bool) -> str:
    number = f"{value:+.4f}" if signed else f"{value:.4f}"
    return number if error is None else f"{number} ± {error:.4f}"


def _by_fid(row: ShownRow) -> float:
    """Sorting key: failed rows last."""
    return float("inf") if row["fid"] is None else row["fid"]
