"""One search in full: where it stands and, once it has succeeded, its table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from fewstep.commands.text import (
    search_facts,
    show_fid,
    write_rows,
)

if TYPE_CHECKING:
    from fewstep.wire import Report, ReportRow, Search

COLUMNS = ("schedule", "solver", "FID", "std. error", "above searched", "its std. error", "times")
SHARE = "share of cost"  # only where something is pruned


def write_search(search: Search) -> None:
    """Print the facts, the error or the report."""
    for name, fact in search_facts(search):
        typer.echo(f"{name}\t{fact}")
    if search.error is not None:
        typer.echo(f"error\t{search.error.code}: {search.error.message}")
    if search.result is not None:
        write_report(search.result)


def write_report(report: Report) -> None:
    """Print every schedule with its distance, best first after the searched one."""
    first, *others = report.rows
    others.sort(key=lambda row: (row.fid is None, row.fid))
    title = f"FID over {report.sets} sets of {report.num_samples} images (small-batch)"
    rows = (first, *others)
    cells = [_cells(row) for row in rows]
    if all(row.cost_share == 1.0 for row in rows):
        write_rows(title, COLUMNS, cells)
        return
    shares = [f"{row.cost_share:.3f}" for row in rows]
    write_rows(title, (*COLUMNS, SHARE), [[*c, s] for c, s in zip(cells, shares, strict=True)])


def _cells(row: ReportRow) -> list[str]:
    numbers = (row.fid, row.standard_error, row.difference, row.difference_error)
    indices = " ".join(str(index) for index in row.indices)
    if row.failure is not None:
        return [row.name, row.solver, f"failed: {row.failure}", "-", "-", "-", indices]
    return [row.name, row.solver, *(show_fid(number) for number in numbers), indices]
