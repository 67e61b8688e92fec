"""JSON documents as the database keeps them: canonical text, one hash, nothing it would refuse."""

from __future__ import annotations

import hashlib
import json
from typing import TypeAlias

from fewstep.errors import InvalidInput

Document: TypeAlias = dict[str, object]


def dump(value: object) -> str:
    """Write canonical JSON: sorted keys, no spaces, shortest round-trip floats.

    Raises:
        ValueError: NaN or an infinity.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def document_hash(value: Document) -> str:
    """SHA-256 of the canonical JSON, as 64 hexadecimal digits."""
    return hashlib.sha256(dump(value).encode("ascii")).hexdigest()


def check_text(text: str, *, field: str) -> str:
    """Return `text` if every database can hold it.

    Raises:
        InvalidInput: a NUL character or half of a surrogate pair.
    """
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidInput(
            f"{field} holds a NUL character or a lone surrogate: only whole characters are allowed",
            field=field,
        )
    return text


def check_document(value: object, *, field: str) -> None:
    """Hold every string of a JSON value against `check_text`; the error names the place in it."""
    if isinstance(value, str):
        check_text(value, field=field)
    elif isinstance(value, dict):
        for key, item in value.items():
            check_text(str(key), field=field)
            check_document(item, field=f"{field}.{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            check_document(item, field=f"{field}[{index}]")
