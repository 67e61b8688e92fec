"""Options that several commands share, and the client they lead to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fewstep.errors import InvalidInput

if TYPE_CHECKING:
    from fewstep.client import Client

DEFAULT_URL = "http://127.0.0.1:8321"

Url = Annotated[
    str, typer.Option("--url", envvar="FEWSTEP_URL", help="Address of the service.", metavar="URL")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one document per line.")]
SearchId = Annotated[str, typer.Argument(help="Id of the search.", metavar="SEARCH")]


def whole(text: str) -> int:
    """Parse a whole number; unlike typer's own error, ours shows the value."""
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text[:80]!r}; allowed: a whole number") from None


def number(text: str) -> float:
    """Parse a number."""
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{text[:80]!r}; allowed: a number") from None


def within(value: int, low: int, high: int, option: str) -> int:
    """Hold a whole number against its range.

    Raises:
        InvalidInput: names the option, the value and the range.
    """
    if not low <= value <= high:
        raise InvalidInput(f"--{option}={value}: allowed: {low} to {high}", field=option)
    return value


def connect(url: str) -> Client:
    """Make a client; imported late, for `--help` needs no HTTP."""
    from fewstep.client import Client

    return Client(url)
