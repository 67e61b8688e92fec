"""`fewstep watch`: follow a search to its end; Ctrl-C detaches and leaves it running."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import typer

from fewstep.commands.options import DEFAULT_URL, AsJson, SearchId, Url, connect
from fewstep.commands.report import write_search
from fewstep.commands.text import show_count, show_fid, write_json
from fewstep.status import SearchStatus

if TYPE_CHECKING:
    from fewstep.client import Client
    from fewstep.wire import Event, Search

DETACHED = 130  # as shells report a program that ended by Ctrl-C


def watch(search_id: SearchId, *, as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Follow a search until it ends: 0 if it succeeded, 1 if not, 130 if you detach by Ctrl-C.

    Example: fewstep watch 0b8e6c1e-4f0e-4d53-9c4f-0a8f6f1f2f3a
    """
    with connect(url) as client:
        follow(client, client.show(search_id), as_json=as_json)


def follow(client: Client, search: Search, *, as_json: bool) -> None:
    """Show every event from the first on, then how the search ended.

    Raises:
        typer.Exit: with 1 if it did not succeed, with 130 on Ctrl-C.
    """
    try:
        with _display(search, as_json=as_json) as display:
            for event in client.events(search.id):
                display.show(event)
        ended = client.show(search.id)
    except KeyboardInterrupt:
        typer.echo(
            f"detached; the search goes on. Return with: fewstep watch {search.id}", err=True
        )
        raise typer.Exit(DETACHED) from None
    if not as_json:
        write_search(ended)
    if ended.status is not SearchStatus.SUCCEEDED:
        raise typer.Exit(1)


class Display(Protocol):
    """Something that shows events."""

    def show(self, event: Event) -> None:
        """Show one."""


class JsonLines:
    """Every event as one line of JSON."""

    def show(self, event: Event) -> None:
        """Print it."""
        write_json(event)


class PlainLines:
    """One line for each event but single evaluations."""

    def __init__(self, search: Search) -> None:
        self._budget = show_count(search.calls_budget)

    def show(self, event: Event) -> None:
        """Print it."""
        if event.kind == "evaluation":
            return
        line = f"{event.created_at:%H:%M:%S} {event.kind}"
        if event.kind == "progress":
            line += f" {describe(event)}, {show_count(_calls(event))}/{self._budget} calls"
        typer.echo(line)
        sys.stdout.flush()


class ProgressBar:
    """A bar over the budget, with the phase and the best distance so far."""

    def __init__(self, search: Search) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[calls]} calls"),
            TimeElapsedColumn(),
        )
        self._budget = search.calls_budget
        self._task = self.bar.add_task(
            str(search.status), total=search.calls_budget, calls=self._share(0)
        )

    def show(self, event: Event) -> None:
        """Move the bar."""
        if event.kind == "progress":
            calls = _calls(event)
            done = min(calls, self._budget)
            self.bar.update(
                self._task, description=describe(event), completed=done, calls=self._share(calls)
            )
        elif event.kind != "evaluation":
            self.bar.update(self._task, description=event.kind)

    def _share(self, calls: int) -> str:
        return f"{show_count(calls)}/{show_count(self._budget)}"


@contextmanager
def _display(search: Search, *, as_json: bool) -> Iterator[Display]:
    if as_json:
        yield JsonLines()
    elif sys.stdout.isatty():
        progress = ProgressBar(search)
        with progress.bar:
            yield progress
    else:
        yield PlainLines(search)


def describe(event: Event) -> str:
    """Phase and best small-batch distance of a progress event."""
    best = event.payload.get("best_fid")
    fid = show_fid(best if isinstance(best, float | int) else None)
    return f"{event.payload.get('phase')}: best small-batch FID {fid}"


def _calls(event: Event) -> int:
    calls = event.payload.get("calls_spent")
    return calls if isinstance(calls, int) else 0
