"""The check every decoded JSON value from outside passes first: finite, real text, not too deep."""

from __future__ import annotations

import math

from fewstep.errors import InvalidInput

# Requests and documents nest a handful of levels; deeper ones only exhaust the stack.
MAX_DEPTH = 32


def check_plain(value: object, path: str = "", *, depth: int = 0) -> None:
    """Refuse numbers that are not finite, text with lone surrogates, and deep nesting.

    Raises:
        InvalidInput: names the path of the first such value.
    """
    label = path or "body"
    if depth > MAX_DEPTH:
        raise InvalidInput(f"{label}: nested too deeply; allowed: {MAX_DEPTH} levels", field=label)
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidInput(f"{label}={value!r}: must be a finite number", field=label)
    if isinstance(value, str):
        _check_text(value, label)
    elif isinstance(value, dict):
        for key, member in value.items():
            _check_text(key, label)
            check_plain(member, f"{path}.{key}" if path else key, depth=depth + 1)
    elif isinstance(value, list | tuple):
        for i, member in enumerate(value):
            check_plain(member, f"{label}[{i}]", depth=depth + 1)


def _check_text(text: str, label: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidInput(
            f"{label}={text.encode('ascii', 'backslashreplace').decode()!r}: "
            "holds half of a surrogate pair; allowed: valid Unicode text",
            field=label if label.isprintable() and label.isascii() else None,
        ) from None
