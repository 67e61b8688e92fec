"""`fewstep grids`: the named grids of a process."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fewstep.commands.options import AsJson, whole
from fewstep.commands.text import write_json_value, write_rows
from fewstep.errors import InvalidInput

if TYPE_CHECKING:
    from fewstep.process import Process

DEFAULT_MODEL = "zoo:digits"


def grids(
    *,
    steps: Annotated[
        int, typer.Option(parser=whole, metavar="INTEGER", help="Noise levels to evaluate.")
    ],
    model: Annotated[
        str | None, typer.Option(help=f"Model whose process is meant, {DEFAULT_MODEL}.")
    ] = None,
    process: Annotated[
        str | None, typer.Option(help='Or a process, as {"family": "flow-matching", "shift": 3}.')
    ] = None,
    roots: Annotated[
        list[Path] | None, typer.Option("--root", help="Folder of file:NAME models; repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the named grids: training indices, or times where the process has none.

    Example: fewstep grids --steps 8
    """
    from fewstep.process import VPDiscrete
    from fewstep.spacing import named_grids
    from fewstep.spacing.points import check_steps

    found = _process(model, process, roots or ())
    check_steps(found, steps)
    rows = []
    for name, times in named_grids(found, steps).items():
        noisy = list(times[:-1])
        document = {
            "name": name,
            "times": noisy,
            "rho": [found.at(t).rho for t in noisy],
        }
        if isinstance(found, VPDiscrete):
            document["indices"] = [found.index_of(t) for t in noisy]
        if as_json:
            write_json_value(document)
        shown = document.get("indices", noisy)
        rows.append([name, " ".join(f"{value:.6g}" for value in shown)])
    if not as_json:
        kind = "indices" if isinstance(found, VPDiscrete) else "times"
        write_rows("grids", ("grid", kind), rows)


def _process(model: str | None, text: str | None, roots: Sequence[Path]) -> Process:
    from fewstep.networks.models import resolve
    from fewstep.plain_json import check_plain
    from fewstep.process import process_from_description

    if text is None:
        return resolve(DEFAULT_MODEL if model is None else model, roots=roots).make_process()
    if model is not None:
        raise InvalidInput("--process: not with --model; allowed: one of the two", field="process")
    try:
        description: object = json.loads(text)
    except (ValueError, RecursionError):
        description = None
    if not isinstance(description, dict):
        raise InvalidInput(
            f'--process={text!r}: allowed: a JSON object, as {{"family": "vp-linear"}}',
            field="process",
        )
    check_plain(description, "process")
    return process_from_description(description)
