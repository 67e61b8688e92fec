"""`fewstep download` and `weights`: get a schedule that a search found, and what it runs."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from fewstep.commands.options import DEFAULT_URL, AsJson, SearchId, Url, connect, whole
from fewstep.commands.output_file import write_file
from fewstep.commands.text import write_json_value

Point = Annotated[
    int,
    typer.Option(parser=whole, metavar="INTEGER", help="Point of the search's front; 0: its best."),
]
ScheduleId = Annotated[str, typer.Argument(help="Id of the schedule.", metavar="SCHEDULE")]
WeightsOut = Annotated[Path, typer.Option("--out", "-o", help="File.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="File; unset: standard output.")]


def download(
    search_id: SearchId,
    *,
    out: Out = None,
    point: Point = 0,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Download a schedule that a search found, as the JSON document that samplers read.

    Example: fewstep download 0b8e6c1e-4f0e-4d53-9c4f-0a8f6f1f2f3a --out schedule.json
    """
    with connect(url) as client:
        schedule = client.schedule(search_id, point=point)
    if out is None:
        sys.stdout.write(schedule.to_json())
        return
    write_file(out, schedule.to_json().encode("ascii"))
    if as_json:
        write_json_value({"file": str(out), "identity": schedule.identity})
    else:
        facts = [schedule.model.name, schedule.solver.name, f"{schedule.solver.nfe} calls"]
        if schedule.architecture is not None:
            facts.append(f"{schedule.architecture.share:.1%} of the full network's multiply-adds")
        typer.echo(f"{out}: {', '.join(facts)}")


def weights(
    schedule_id: ScheduleId, *, out: WeightsOut, as_json: AsJson = False, url: Url = DEFAULT_URL
) -> None:
    """Download the weights of a schedule's pruned networks, and check their SHA-256.

    Example: fewstep weights d3c1b7a0-6c3e-5f43-8a5e-3d2b1c0f9e8d --out weights.safetensors
    """
    with connect(url) as client:
        content = client.weights(schedule_id)
    write_file(out, content)
    sha256 = hashlib.sha256(content).hexdigest()
    if as_json:
        write_json_value({"file": str(out), "sha256": sha256, "size_bytes": len(content)})
    else:
        typer.echo(f"{out}: {len(content)} bytes, sha256 {sha256}")
