"""How numbers, times, searches and reports look in a terminal and in a pipe."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from fewstep.wire import Search, Wire

_AGES = ((86_400, "d"), (3_600, "h"), (60, "min"))


def write_json(document: Wire) -> None:
    """Print one document on one line of standard output."""
    sys.stdout.write(document.model_dump_json() + "\n")
    sys.stdout.flush()


def write_json_value(value: object) -> None:
    """Print plain values on one line of standard output."""
    sys.stdout.write(json.dumps(value, allow_nan=False) + "\n")
    sys.stdout.flush()


def write_rows(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table in a terminal, tab-separated lines with a header line in a pipe."""
    console = Console()
    if not console.is_terminal:
        for cells in (columns, *rows):
            sys.stdout.write("\t".join(cells) + "\n")
        return
    table = Table(*columns, title=title, title_justify="left")
    for cells in rows:
        table.add_row(*cells)
    console.print(table if rows else f"{title}: none")


def show_count(count: int) -> str:
    """Shorten a count: 950, 12.3k, 1.2M."""
    if count < 1_000:
        return str(count)
    return f"{count / 1_000:.1f}k" if count < 1_000_000 else f"{count / 1_000_000:.1f}M"


def show_fid(fid: float | None) -> str:
    """A Frechet distance with two decimals, a dash where there is none yet."""
    return "-" if fid is None else f"{fid:.2f}"


def show_age(moment: datetime) -> str:
    """How long ago, in the largest unit that fits."""
    seconds = max(0, int((datetime.now(UTC) - moment).total_seconds()))
    for size, unit in _AGES:
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def search_facts(search: Search) -> list[tuple[str, str]]:
    """What there is to say about a search, by name."""
    request = search.request
    place = f" (place {search.place_in_queue} in the queue)" if search.place_in_queue else ""
    calls = f"{show_count(search.calls_spent)}/{show_count(search.calls_budget)}"
    return [
        ("id", search.id),
        ("status", f"{search.status}{place}"),
        ("model", str(request.get("model"))),
        ("solver", str(request.get("solver"))),
        ("nfe", str(request.get("nfe"))),
        ("calls", calls),
        ("best FID", show_fid(search.best_fid)),
        ("created", show_age(search.created_at)),
    ]
