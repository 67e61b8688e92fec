"""Searches over REST with a progress display."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from fewstep.client import Client
from fewstep.errors import FewstepError
from fewstep.request import SearchRequest
from fewstep.schedule import Schedule
from fewstep.status import SearchStatus
from fewstep.wire import Report, Search


@dataclass(frozen=True, slots=True)
class Found:
    """A finished search: its report and its schedule."""

    search: Search
    report: Report
    schedule: Schedule


def search(client: Client, request: SearchRequest, console: Console) -> Found:
    """Submit a search, show how it goes, fetch what it found.

    Raises:
        FewstepError: the search was refused, failed or cancelled.
    """
    submitted = client.submit(request)
    _follow(client, submitted, request, console)
    done = client.show(submitted.id)
    if done.status is not SearchStatus.SUCCEEDED or done.result is None:
        reason = done.error.message if done.error else "no reason given"
        raise FewstepError(f"search {done.id} ended as {done.status}: {reason}")
    return Found(done, done.result, client.schedule(done.id))


def _follow(client: Client, submitted: Search, request: SearchRequest, console: Console) -> None:
    """A bar over the search's budget; the report that follows it is counted in schedules."""
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:>7.0f} of {task.total:.0f} calls"),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        console=console,
    )
    with progress:
        bar = progress.add_task(f"{request.strategy}, queued", total=request.budget, note="")
        for event in client.events(submitted.id):
            payload = event.payload
            if event.kind != "progress":
                continue
            fid = payload.get("best_fid")
            note = f"best FID so far {fid:.4f}" if isinstance(fid, int | float) else ""
            calls = payload.get("calls_spent")
            progress.update(
                bar,
                description=f"{request.strategy}, {payload.get('phase')}",
                completed=min(float(calls), request.budget) if isinstance(calls, int) else None,
                note=note,
            )
