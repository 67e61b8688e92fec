"""`fewstep front`: distance over cost, over the schedules of all searches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fewstep.commands.options import DEFAULT_URL, AsJson, Url, connect, number
from fewstep.commands.text import show_fid, write_json, write_rows

if TYPE_CHECKING:
    from fewstep.wire import Front, FrontPoint

COLUMNS = ("schedule", "solver", "nfe", "cost", "share", "FID", "std. error", "dominated by")

Model = Annotated[str, typer.Argument(help="Model, as `fewstep models` lists it.", metavar="MODEL")]
Reference = Annotated[str | None, typer.Option(help="Only distances to this reference.")]
Scale = Annotated[
    float | None,
    typer.Option(
        "--guidance-scale", parser=number, metavar="NUMBER", help="Only under this guidance."
    ),
]


def front(
    model: Model,
    *,
    reference: Reference = None,
    guidance_scale: Scale = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Compare all schedules of a model, whatever their number of calls, the cheapest first.

    Cost is that of one image in passes of the full network, share what pruning leaves of it. A
    schedule is dominated by one that costs no more and has a lower FID.

    Example: fewstep front zoo:digits
    """
    with connect(url) as client:
        found = list(client.fronts(model, reference=reference, guidance_scale=guidance_scale))
    for each in found:
        if as_json:
            write_json(each)
        else:
            typer.echo(_title(each))
            write_rows("schedules", COLUMNS, [_cells(point) for point in each.points])
    if not found and not as_json:
        write_rows("schedules", COLUMNS, [])


def _title(front: Front) -> str:
    guidance = "" if front.guidance == "none" else f", {front.guidance} {front.guidance_scale:g}"
    return (
        f"{front.model}{guidance}: FID to {front.reference}, sets of {front.num_samples} images "
        "(small-batch)"
    )


def _cells(point: FrontPoint) -> list[str]:
    return [
        point.schedule_id,
        point.solver,
        str(point.nfe),
        f"{point.cost:.2f}",
        f"{point.cost_share:.3f}",
        show_fid(point.fid),
        show_fid(point.standard_error),
        point.dominated_by or "-",
    ]
