"""Canonical JSON and the hash of it: how candidates, scores and documents get their identity."""

from __future__ import annotations

import hashlib
import json


def canonical_json(value: object) -> str:
    """Serialise plain values with sorted keys, no spaces and shortest round-trip floats.

    Raises:
        ValueError: the value holds a NaN or an infinity, which JSON has no word for.
        TypeError: the value is not made of plain JSON types.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def content_hash(value: object) -> str:
    """SHA-256 of the canonical JSON, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode("ascii")).hexdigest()
