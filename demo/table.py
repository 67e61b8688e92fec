"""The demo's table: every schedule on the report bank, best last."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from statistics import fmean, stdev

from rich.table import Table

from fewstep.wire import Model, Report, ReportRow

UNIFORM = "leading"


def named_rows(evolution: Report, control: Report) -> list[ReportRow]:
    """Grids worst first, then the random control, then the searched schedule."""
    searched, *grids = evolution.rows
    grids.sort(key=lambda row: -1.0 if row.fid is None else -row.fid)
    return [*grids, _control_row(control.rows[0], searched), searched]


def _control_row(row: ReportRow, searched: ReportRow) -> ReportRow:
    """Random search's result beside the searched one: both on the same sets, so paired by set."""
    pairs = zip(row.fids, searched.fids, strict=True)
    differences = [a - b for a, b in pairs if a is not None and b is not None]
    is_complete = len(differences) == len(row.fids) > 1
    return row.model_copy(
        update={
            "name": "random search, equal budget",
            "difference": fmean(differences) if is_complete else None,
            "difference_error": stdev(differences) / sqrt(len(differences))
            if is_complete
            else None,
        }
    )


def best_grid(report: Report) -> ReportRow:
    """The best named grid of the searched solver."""
    solver = report.rows[0].solver
    grids = [row for row in report.rows[1:] if row.solver == solver and row.fid is not None]
    return min(grids, key=lambda row: row.fid or 0.0)


def uniform_row(report: Report) -> ReportRow:
    """Uniform first-order sampling, the usual choice: leading spacing with DDIM."""
    for row in report.rows[1:]:
        if row.solver == "ddim" and UNIFORM in row.name:
            return row
    raise LookupError("the report has no uniform row")


def table_of(rows: Sequence[ReportRow], report: Report, teacher: Model) -> Table:
    """A table for the terminal."""
    table = Table(
        title=f"FID on {report.sets} sets of {report.num_samples} images, balanced labels, "
        "noise that decided nothing",
        caption="classifier features, reference: the model's default set; +- is one standard error",
    )
    for heading, justify in (("schedule", "left"), ("solver", "left"), ("indices", "left")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    table.add_column("FID", justify="right")
    table.add_column("minus searched", justify="right")
    for row in rows:
        table.add_row(
            row.name,
            row.solver,
            " ".join(map(str, row.indices)),
            _value(row.fid, row.standard_error),
            "" if row is rows[-1] else _value(row.difference, row.difference_error),
            style="bold" if row is rows[-1] else None,
        )
    for sampler, (fid, count) in teacher.teacher_fids.items():
        table.add_row(
            "full-step teacher", sampler, f"its card, N={count}", f"{fid:.4f}", "", style="dim"
        )
    return table


def _value(value: float | None, error: float | None) -> str:
    if value is None:
        return "failed"
    return f"{value:.4f}" if error is None else f"{value:.4f} +- {error:.4f}"
