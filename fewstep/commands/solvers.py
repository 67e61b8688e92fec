"""`fewstep solvers`: every registered solver, and the options of one."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from fewstep.commands.options import AsJson
from fewstep.commands.text import write_json_value, write_rows
from fewstep.errors import InvalidInput


def solvers(
    *,
    name: Annotated[str | None, typer.Argument(help="One solver, by any of its names.")] = None,
    as_json: AsJson = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the page docs/solvers.md.")
    ] = False,
) -> None:
    """List the solvers with their order and calls, or show the options of one.

    Example: fewstep solvers dpm-solver++-2m
    """
    from fewstep.commands.solver_facts import (  # brings the solvers, and numpy
        COLUMNS,
        OPTION_COLUMNS,
        markdown,
        option_rows,
        solver_facts,
        solver_rows,
    )
    from fewstep.solvers import SOLVERS, canonical_name

    if as_markdown and (as_json or name is not None):
        raise InvalidInput("--markdown: is of all solvers; allowed: alone", field="markdown")
    if as_markdown:
        sys.stdout.write(markdown())
        return
    names = SOLVERS.names() if name is None else [canonical_name(name)]
    if as_json:
        for each in names:
            write_json_value(solver_facts(each))
        return
    write_rows("solvers", COLUMNS, solver_rows(names))
    if name is None:
        return
    typer.echo(solver_facts(name)["summary"])
    rows = option_rows([SOLVERS.get(names[0])])
    if rows:
        write_rows("options", OPTION_COLUMNS, rows)
    else:
        typer.echo("no options")
