"""`fewstep download` and `sample`: get a schedule, and make images with it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fewstep.commands.options import DEFAULT_URL, AsJson, SearchId, Url, connect, whole, within
from fewstep.commands.text import write_json_value
from fewstep.errors import InvalidInput

if TYPE_CHECKING:
    from fewstep.schedule import Schedule

MAX_IMAGES = 4096
MAX_SEED = 2**31 - 1

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
    _write(out, schedule.to_json().encode("ascii"))
    if as_json:
        write_json_value({"file": str(out), "identity": schedule.identity})
    else:
        typer.echo(f"{out}: {_describe(schedule)}")


def sample(
    *,
    schedule_file: Annotated[Path, typer.Option("--schedule", help="Schedule document.")],
    num: Annotated[
        int, typer.Option(parser=whole, metavar="INTEGER", help=f"Images, 1 to {MAX_IMAGES}.")
    ] = 16,
    seed: Annotated[
        int, typer.Option(parser=whole, metavar="INTEGER", help="Seed of the start noise.")
    ] = 0,
    out: Annotated[Path, typer.Option("--out", "-o", help="PNG file.")] = Path("samples.png"),
    roots: Annotated[
        list[Path] | None, typer.Option("--root", help="Folder of file:NAME models; repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Draw images with a schedule and the bundled model it names. Needs no service.

    Example: fewstep sample --schedule schedule.json --num 16 --out grid.png
    """
    within(num, 1, MAX_IMAGES, "num")
    within(seed, 0, MAX_SEED, "seed")
    from fewstep.commands.drawing import draw_grid  # brings torch
    from fewstep.schedule import Schedule

    try:
        schedule = Schedule.load(schedule_file)
    except OSError as error:
        raise InvalidInput(
            f"--schedule={str(schedule_file)!r}: {error.strerror}", field="schedule"
        ) from None
    _write(out, draw_grid(schedule, num=num, seed=seed, roots=roots or ()))
    if as_json:
        write_json_value({"file": str(out), "num": num, "seed": seed})
    else:
        typer.echo(f"{out}: {num} images by {_describe(schedule)}")


def _describe(schedule: Schedule) -> str:
    solver = schedule.solver
    return f"{schedule.model.name}, {solver.name}, {solver.nfe} calls"


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise InvalidInput(f"--out={str(path)!r}: {error.strerror}", field="out") from None
