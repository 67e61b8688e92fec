"""`fewstep list`, `show`, `cancel` and `models`: look at what the service has."""

from __future__ import annotations

from typing import Annotated

import typer

from fewstep.commands.options import DEFAULT_URL, AsJson, SearchId, Url, connect, whole, within
from fewstep.commands.report import write_search
from fewstep.commands.text import search_facts, show_fid, write_json, write_rows
from fewstep.status import SearchStatus

SEARCH_COLUMNS = ("id", "status", "model", "solver", "nfe", "calls", "best FID", "created")

Status = Annotated[SearchStatus | None, typer.Option("--status", help="Only searches in it.")]
Limit = Annotated[
    int, typer.Option("--limit", parser=whole, metavar="INTEGER", help="How many, 1 to 200.")
]


def list_searches(
    *, status: Status = None, limit: Limit = 20, as_json: AsJson = False, url: Url = DEFAULT_URL
) -> None:
    """List searches, newest first.

    Example: fewstep list --status running
    """
    with connect(url) as client:
        searches = client.list(status=status, limit=within(limit, 1, 200, "limit")).items
    if as_json:
        for search in searches:
            write_json(search)
        return
    rows = [search_facts(search) for search in searches]
    cells = [[fact for _, fact in row] for row in rows]
    write_rows("searches", SEARCH_COLUMNS, cells)


def show(search_id: SearchId, *, as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Show one search, with its report once it has succeeded.

    Example: fewstep show 0b8e6c1e-4f0e-4d53-9c4f-0a8f6f1f2f3a
    """
    with connect(url) as client:
        search = client.show(search_id)
    if as_json:
        write_json(search)
    else:
        write_search(search)


def cancel(search_id: SearchId, *, as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Cancel a search that is queued or running.

    Example: fewstep cancel 0b8e6c1e-4f0e-4d53-9c4f-0a8f6f1f2f3a
    """
    with connect(url) as client:
        search = client.cancel(search_id)
    if as_json:
        write_json(search)
    else:
        typer.echo(f"{search.id} {search.status}")


def models(*, as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """List the models that the service can search for.

    Example: fewstep models --json
    """
    with connect(url) as client:
        found = list(client.models())
    if as_json:
        for model in found:
            write_json(model)
        return
    columns = ("name", "images", "classes", "references", "teacher", "teacher FID", "licence")
    rows = [
        [
            model.name,
            "x".join(str(size) for size in model.image_shape),
            str(model.num_classes or "-"),
            ", ".join(model.references),
            f"{model.teacher.get('solver')} at {model.teacher.get('nfe')} calls",
            show_fid(model.teacher_fid),
            model.licence,
        ]
        for model in found
    ]
    write_rows("models", columns, rows)
