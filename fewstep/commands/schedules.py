"""`fewstep download`: get the schedule that a search found."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from fewstep.commands.options import DEFAULT_URL, AsJson, SearchId, Url, connect
from fewstep.commands.output_file import write_file
from fewstep.commands.text import write_json_value

Out = Annotated[Path | None, typer.Option("--out", "-o", help="File; unset: standard output.")]


def download(
    search_id: SearchId, *, out: Out = None, as_json: AsJson = False, url: Url = DEFAULT_URL
) -> None:
    """Download the schedule that a search found, as the JSON document that samplers read.

    Example: fewstep download 0b8e6c1e-4f0e-4d53-9c4f-0a8f6f1f2f3a --out schedule.json
    """
    with connect(url) as client:
        schedule = client.schedule(search_id)
    if out is None:
        sys.stdout.write(schedule.to_json())
        return
    write_file(out, schedule.to_json().encode("ascii"))
    if as_json:
        write_json_value({"file": str(out), "identity": schedule.identity})
    else:
        solver = schedule.solver
        typer.echo(f"{out}: {schedule.model.name}, {solver.name}, {solver.nfe} calls")
