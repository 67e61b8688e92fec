"""`fewstep submit`: queue a search."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fewstep.commands.options import DEFAULT_URL, AsJson, Url, connect, number, whole
from fewstep.commands.pruning_options import (
    Prune,
    PruneCost,
    PruneMode,
    PruneObjective,
    PruneOptions,
    PrunePoints,
    PruneRepair,
    pruning_of,
)
from fewstep.commands.text import write_json
from fewstep.commands.watch import follow
from fewstep.errors import InvalidInput
from fewstep.named_values import parse_field, parse_fields, parse_option

if TYPE_CHECKING:
    from pydantic import JsonValue


def submit(
    *,
    model: Annotated[str | None, typer.Option(help="Model, as `fewstep models` lists it.")] = None,
    solver: Annotated[str | None, typer.Option(help="Solver, such as dpm-solver++-2m.")] = None,
    nfe: Annotated[
        int | None,
        typer.Option(
            parser=whole, metavar="INTEGER", help="Network calls of one image, 1 to 1000."
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(parser=whole, metavar="INTEGER", help="Solver steps, instead of --nfe."),
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(parser=whole, metavar="INTEGER", help="Network calls the search may make."),
    ] = None,
    strategy: Annotated[str | None, typer.Option(help="evolution, random or paper.")] = None,
    seed: Annotated[
        int | None, typer.Option(parser=whole, metavar="INTEGER", help="Same seed, same result.")
    ] = None,
    guidance: Annotated[
        str | None, typer.Option(help="none, classifier-free or classifier.")
    ] = None,
    guidance_scale: Annotated[
        float | None,
        typer.Option(parser=number, metavar="NUMBER", help="Scale of the guidance."),
    ] = None,
    solver_options: Annotated[
        list[str] | None,
        typer.Option("--option", help="Option of the solver, as eta=0.5; repeatable."),
    ] = None,
    search_options: Annotated[
        list[str] | None,
        typer.Option("--search-option", help="Option that the search chooses; repeatable."),
    ] = None,
    dlg: Annotated[
        str | None,
        typer.Option(
            metavar="KEY=VALUE,...",
            help="Draw images from chains; eta and num_skip are searched unless given, as in "
            "chains=64,num_skip=3.",
        ),
    ] = None,
    is_pruning: Prune = False,
    prune_cost: PruneCost = None,
    prune_mode: PruneMode = None,
    prune_repair: PruneRepair = None,
    prune_objective: PruneObjective = None,
    prune_points: PrunePoints = None,
    prune_options: PruneOptions = None,
    starts: Annotated[
        list[str] | None,
        typer.Option("--start", help="Grid to start from, as 999,700,300,50; repeatable."),
    ] = None,
    fields: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other field, as report_images=1024; repeatable."),
    ] = None,
    request_file: Annotated[
        Path | None, typer.Option("--request", help="JSON file; options given here win over it.")
    ] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="Submitting again under it changes nothing.")
    ] = None,
    is_watching: Annotated[
        bool, typer.Option("--watch", help="Follow the search until it ends.")
    ] = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Queue a search for the best schedule of a model, a solver and a number of network calls.

    Example: fewstep submit --model zoo:digits --solver dpm-solver++-2m --nfe 4 --watch
    """
    options: dict[str, JsonValue] = {
        "model": model,
        "solver": solver,
        "nfe": nfe,
        "steps": steps,
        "budget": budget,
        "strategy": strategy,
        "seed": seed,
        "guidance": guidance,
        "guidance_scale": guidance_scale,
    }
    given = {name: value for name, value in options.items() if value is not None}
    request = _read(request_file) | given | dict(parse_field(text) for text in fields or [])
    if solver_options:
        request["solver_options"] = dict(parse_option(text) for text in solver_options)
    if search_options:
        request["search_options"] = list(search_options)
    if dlg is not None:
        request["dlg"] = parse_fields(dlg, "dlg")
    fields_of_pruning: dict[str, JsonValue] = {
        "cost": prune_cost,
        "mode": prune_mode,
        "repair": prune_repair,
        "objective": prune_objective,
        "points": prune_points,
    }
    request |= pruning_of(request, fields_of_pruning, prune_options or [], is_wanted=is_pruning)
    if starts:
        request["initial_times"] = [_parse_start(text, i) for i, text in enumerate(starts)]
    with connect(url) as client:
        search = client.submit(request, idempotency_key=idempotency_key)
        if is_watching:
            follow(client, search, as_json=as_json)
        elif as_json:
            write_json(search)
        else:
            typer.echo(f"{search.id} {search.status}, place {search.place_in_queue} in the queue")
            typer.echo(f"follow it with: fewstep watch {search.id}", err=True)


def _read(path: Path | None) -> dict[str, JsonValue]:
    """The fields of a request file."""
    if path is None:
        return {}
    try:
        document: object = json.loads(path.read_bytes())
    except OSError as error:
        raise InvalidInput(f"--request={str(path)!r}: {error.strerror}", field="request") from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(
            f"--request={str(path)!r}: not JSON ({error})", field="request"
        ) from None
    if not isinstance(document, dict):
        raise InvalidInput(f"--request={str(path)!r}: allowed: one JSON object", field="request")
    return document


def _parse_start(text: str, position: int) -> list[JsonValue]:
    """Read training indices between commas."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        field = f"initial_times[{position}]"
        raise InvalidInput(
            f"{field}={text!r}: allowed: indices from noise to data, as 999,700,300,50",
            field=field,
        ) from None
