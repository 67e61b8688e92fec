"""Options of `fewstep submit` that ask for pruned networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from fewstep.commands.options import number, whole
from fewstep.errors import InvalidInput
from fewstep.named_values import parse_prune_option

if TYPE_CHECKING:
    from pydantic import JsonValue

Prune = Annotated[
    bool, typer.Option("--prune", help="Cut the network too, and report a front over cost.")
]
PruneCost = Annotated[
    float | None,
    typer.Option(
        parser=number, metavar="NUMBER", help="Largest share of the full cost, as 0.7; implies it."
    ),
]
PruneMode = Annotated[
    str | None, typer.Option(help="One network for all: shared; a few: bands or steps.")
]
PruneRepair = Annotated[str | None, typer.Option(help="What was cut: ridge, bias or none.")]
PruneObjective = Annotated[str | None, typer.Option(help="What is saved: macs or seconds.")]
PrunePoints = Annotated[
    int | None,
    typer.Option(parser=whole, metavar="INTEGER", help="Points of the front, 1 to 12."),
]
PruneOptions = Annotated[
    list[str] | None,
    typer.Option("--prune-option", help="Any other field of it, as remove=false; repeatable."),
]


def pruning_of(
    request: Mapping[str, JsonValue],
    fields: Mapping[str, JsonValue],
    others: Sequence[str],
    *,
    is_wanted: bool,
) -> dict[str, JsonValue]:
    """The request's field as the options have it, over what a file gave; nothing without them.

    Raises:
        InvalidInput: the file gave something to which no field can be added.
    """
    given: dict[str, JsonValue] = {k: v for k, v in fields.items() if v is not None}
    given |= dict(map(parse_prune_option, others))
    if not given and not is_wanted:
        return {}
    before = request.get("pruning")
    if before is not None and not isinstance(before, dict):
        raise InvalidInput(f"pruning={before!r}: allowed: an object, null", field="pruning")
    return {"pruning": {**(before or {}), **given}}
