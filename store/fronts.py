"""Fronts of distance over cost: all schedules of a model that may be compared, of all searches.

A pruned network at many calls is worth having only where a shorter schedule on the full one is not
both cheaper and nearer, so schedules of all numbers of calls stand side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from sqlalchemy import Engine, Row, Select, select

from fewstep.errors import NotFound
from store.engine import reading
from store.records import Front, FrontKey, FrontPoint
from store.tables import ScheduleRow

MAX_SCHEDULES = 2000
"""Most that are read at once: the nearest. Those left out dominate none of them."""

_DOCUMENT = ScheduleRow.document
# What columns do not hold, read from within the documents: these are long, and it is little.
_READ = (
    *(column for column in ScheduleRow.__table__.c if column.name != "document"),
    _DOCUMENT["model"]["checkpoint_sha256"].as_string().label("checkpoint_sha256"),
    _DOCUMENT["model"]["guidance"].as_string().label("guidance"),
    _DOCUMENT["solver"]["network_calls"].as_integer().label("network_calls"),
    _DOCUMENT["solver"]["cost"].as_float().label("solver_cost"),
    _DOCUMENT["chains"]["cost"].as_float().label("chains_cost"),
    _DOCUMENT["fitness"]["num_samples"].as_integer().label("num_samples"),
)


def list_fronts(
    engine: Engine,
    *,
    model: str,
    reference: str | None = None,
    guidance_scale: float | None = None,
) -> list[Front]:
    """Read the schedules of a model, apart where they may not be compared.

    Fronts are ordered by what their schedules have in common. Of more than `MAX_SCHEDULES`
    schedules the nearest are read.
    """
    filters = {"model": model, "reference": reference, "guidance_scale": guidance_scale}
    given = {name: value for name, value in filters.items() if value is not None}
    with reading(engine) as connection:
        rows = connection.execute(_nearest(given)).all()
    return _fronts(rows)


def of_search(engine: Engine, search_id: str) -> Front:
    """Read the points of one search, the best first, marked against all searches' schedules.

    Raises:
        NotFound: it has published none.
    """
    query = select(*_READ).where(ScheduleRow.search_id == search_id)
    with reading(engine) as connection:
        mine = connection.execute(query).all()
        if not mine:
            raise NotFound(f"search {search_id!r} has published no schedule", field="id")
        common = ("model", "reference", "guidance_scale")
        rows = connection.execute(_nearest({name: mine[0]._mapping[name] for name in common})).all()
    every = {row.id: row for row in (*mine, *rows)}  # its own may not be among the nearest
    front = next(front for front in _fronts(every.values()) if front.key == _key(mine[0]))
    points = [point for point in front.points if point.search_id == search_id]
    return replace(front, points=tuple(sorted(points, key=lambda point: point.point)))


def _nearest(filters: Mapping[str, object]) -> Select[Any]:
    ordered = select(*_READ).filter_by(**filters).order_by(ScheduleRow.fid, ScheduleRow.id)
    return ordered.limit(MAX_SCHEDULES)


def _fronts(rows: Iterable[Row[Any]]) -> list[Front]:
    """Apart where they may not be compared."""
    return [
        Front(key=_key(members[0]), points=marked([_point(row) for row in members]))
        for _, group in groupby(sorted(rows, key=_order), key=_order)
        if (members := list(group))
    ]


def marked(points: Sequence[FrontPoint]) -> tuple[FrontPoint, ...]:
    """The points, cheapest first, each with the nearest one that costs no more and is nearer."""
    best: FrontPoint | None = None
    found = []
    for point in sorted(points, key=lambda p: (p.cost, p.fid, p.id)):
        is_behind = best is not None and best.fid < point.fid
        found.append(replace(point, dominated_by=best.id if best and is_behind else None))
        best = best if best is not None and best.fid <= point.fid else point
    return tuple(found)


def _order(row: Row[Any]) -> tuple[str, str, float, int, str]:
    """Equal for rows that may be compared, and sortable though old documents lack fields."""
    guidance, checkpoint = row.guidance or "none", row.checkpoint_sha256 or ""
    return row.reference, guidance, row.guidance_scale, row.num_samples or 0, checkpoint


def _key(row: Row[Any]) -> FrontKey:
    return FrontKey(
        model=row.model,
        checkpoint_sha256=row.checkpoint_sha256,
        reference=row.reference,
        guidance=row.guidance or "none",
        guidance_scale=row.guidance_scale,
        num_samples=row.num_samples or 0,
    )


def _point(row: Row[Any]) -> FrontPoint:
    return FrontPoint(
        id=row.id,
        search_id=row.search_id,
        point=row.point,
        solver=row.solver,
        nfe=row.nfe,
        cost=_cost(row),
        cost_share=row.cost_share,
        macs=row.macs,
        seconds=row.seconds,
        fid=row.fid,
        standard_error=row.standard_error,
        weights_sha256=row.weights_sha256,
    )


def _cost(row: Row[Any]) -> float:
    """Of one image in passes of the full network: what pruning saves is of passes alone.

    Gradients of a guide are priced in passes by the document, and so is the start of chains.
    """
    passes = row.nfe if row.network_calls is None else row.network_calls
    everything = next((c for c in (row.chains_cost, row.solver_cost) if c is not None), passes)
    return float(everything - passes + passes * row.cost_share)
