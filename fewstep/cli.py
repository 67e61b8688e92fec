"""The `fewstep` program: its commands, and how errors become exit codes.

Exit codes: 0 done; 1 failed (service away, search failed); 2 bad input (an option, a file, anything
the service answers 4xx to); 130 detached from a search by Ctrl-C.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import typer

from fewstep.commands import (
    fronts,
    grids,
    sample,
    schedules,
    schema,
    searches,
    solvers,
    submit,
    watch,
)
from fewstep.errors import FewstepError

EXIT_CODES = (
    "Exit codes: 0 done; 1 failed (service away, search failed); 2 bad input;"
    " 130 detached from a running search by Ctrl-C."
)

app = typer.Typer(
    name="fewstep",
    help="Search few-step schedules for diffusion models, and use them.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("submit")(submit.submit)
app.command("watch")(watch.watch)
app.command("list")(searches.list_searches)
app.command("show")(searches.show)
app.command("download")(schedules.download)
app.command("weights")(schedules.weights)
app.command("front")(fronts.front)
app.command("sample")(sample.sample)
app.command("cancel")(searches.cancel)
app.command("models")(searches.models)
app.command("schema")(schema.schema)
app.command("solvers")(solvers.solvers)
app.command("grids")(grids.grids)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and exit. `arguments` are those of the command line."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        app(given)
    except FewstepError as error:
        _report(error, as_json="--json" in given)
        sys.exit(2 if 400 <= error.status < 500 else 1)
    except BrokenPipeError:  # the reader of a pipe has seen enough
        sys.stderr.close()
        sys.exit(1)


def _report(error: FewstepError, *, as_json: bool) -> None:
    """One line for people, one document for programs that asked for JSON."""
    document = {"code": error.code, "field": error.field, "message": error.message}
    line = error.message.encode("ascii", "backslashreplace").decode("ascii")
    sys.stderr.write(f"{json.dumps(document) if as_json else f'error: {line}'}\n")


if __name__ == "__main__":
    main()
