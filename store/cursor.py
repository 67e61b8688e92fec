"""Opaque positions in a list: the sort key of the last row seen, so that new rows shift nothing."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TypeAlias

from fewstep.errors import InvalidInput

MAX_PAGE = 500
_TOO_LARGE = 2**63  # databases take no such parameter
Key: TypeAlias = tuple[str | int | float | None, ...]


def encode(key: Key) -> str:
    """Pack a sort key into URL-safe text."""
    packed = json.dumps(key, separators=(",", ":"), allow_nan=False).encode("ascii")
    return base64.urlsafe_b64encode(packed).decode("ascii").rstrip("=")


def decode(cursor: str, kinds: tuple[type | tuple[type, ...], ...]) -> Key:
    """Unpack what `encode` packed; `kinds` are the types its parts must have.

    Raises:
        InvalidInput: not a cursor of this list.
    """
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        key = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise _not_a_cursor(cursor) from error
    if not isinstance(key, list) or len(key) != len(kinds):
        raise _not_a_cursor(cursor)
    if not all(_fits(part, kind) for part, kind in zip(key, kinds, strict=True)):
        raise _not_a_cursor(cursor)
    return tuple(key)


def _fits(part: object, kind: type | tuple[type, ...]) -> bool:
    """Whether a part has its type, and a value that every database can compare with."""
    if isinstance(part, str):
        part = part if part.isprintable() else None  # no NUL, no lone surrogate
    if isinstance(part, int) and (isinstance(part, bool) or abs(part) >= _TOO_LARGE):
        return False
    return isinstance(part, kind)


def check_limit(limit: int) -> None:
    """Refuse page sizes that are not allowed. Raises InvalidInput."""
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidInput(f"limit={limit}: allowed are 1 to {MAX_PAGE}", field="limit")


def _not_a_cursor(cursor: str) -> InvalidInput:
    return InvalidInput(
        f"cursor={cursor[:100]!r} is not one of this list: pass next_cursor as it was returned",
        field="cursor",
    )
