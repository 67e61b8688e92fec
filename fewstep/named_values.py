"""NAME=VALUE on a command line: the value is JSON, or text where it is none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fewstep.errors import InvalidInput

if TYPE_CHECKING:
    from pydantic import JsonValue


def parse_field(text: str) -> tuple[str, JsonValue]:
    """A field of a request, given by `--set`."""
    return _parse(text, "set")


def parse_option(text: str) -> tuple[str, JsonValue]:
    """An option of a solver, given by `--option`."""
    return _parse(text, "option")


def parse_prune_option(text: str) -> tuple[str, JsonValue]:
    """A field of a request's `pruning`, given by `--prune-option`."""
    return _parse(text, "prune-option")


def parse_fields(text: str, flag: str) -> dict[str, JsonValue]:
    """Several as `KEY=VALUE,KEY=VALUE`; none where the text is empty."""
    return dict(_parse(part, flag) for part in text.split(",") if text)


def _parse(text: str, flag: str) -> tuple[str, JsonValue]:
    name, separator, value = text.partition("=")
    if not (name and separator):
        raise InvalidInput(f"--{flag}={text!r}: allowed: NAME=VALUE", field=flag)
    try:
        parsed: JsonValue = json.loads(value)
    except (ValueError, RecursionError):
        parsed = value
    return name, parsed
