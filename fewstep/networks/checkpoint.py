"""Check a weights file without loading it: only its JSON header is read, nothing is executed.

Ref: the safetensors format: 8 bytes of header length, a JSON header, one flat buffer.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from math import prod
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from fewstep.errors import ChecksFailed, UnsafeCheckpoint

MAX_HEADER_BYTES = 25_000_000  # hundreds of thousands of tensors
_MAX_NAMED = 3  # differences spelled out in a message
_PICKLE_STARTS = {b"\x80": "a pickle", b"PK\x03\x04": "a zip archive, as torch.save writes pickles"}
_ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}  # what a network's weights may be

Shapes = dict[str, tuple[int, ...]]


class _Entry(BaseModel):
    """One tensor in the header."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int] = Field(description="first byte and byte after the last")


_HEADER = TypeAdapter(dict[str, _Entry])


def check_weights(path: Path, *, sha256: str, shapes: Shapes) -> None:
    """Hold a safetensors file against its checksum and the tensors it must hold.

    Raises:
        UnsafeCheckpoint: a pickle, or no complete safetensors file of float tensors.
        ChecksFailed: another checksum, or other tensors.
    """
    entries = read_header(path)
    check_shapes(path.name, {name: entry.shape for name, entry in entries.items()}, shapes)
    status = path.stat()
    check_sha256(path.name, _sha256(path, status.st_size, status.st_mtime_ns), sha256)


def check_sha256(file: str, found: str, wanted: str) -> None:
    """Compare two checksums in hexadecimal.

    Raises:
        ChecksFailed: they differ.
    """
    if found != wanted:
        raise ChecksFailed(
            f"{file}: sha256 is {found}; the card says {wanted}: "
            "fetch the file again, or write the card that belongs to it",
            field="model",
        )


def check_shapes(
    file: str, found: Shapes, wanted: Shapes, *, of: str = "the card's architecture"
) -> None:
    """Compare tensor names and shapes; `of` says in the message what wants them.

    Raises:
        ChecksFailed: names the first differences of each kind.
    """
    both = sorted(set(found) & set(wanted))
    others = [f"{n}: {found[n]} instead of {wanted[n]}" for n in both if found[n] != wanted[n]]
    kinds = {
        "missing": sorted(set(wanted) - set(found)),
        "unexpected": sorted(set(found) - set(wanted)),
        "shape": others,
    }
    told = "; ".join(f"{kind} {_first(names)}" for kind, names in kinds.items() if names)
    if told:
        raise ChecksFailed(f"{file}: tensors differ from {of}: {told}", field="model")


def read_header(path: Path) -> dict[str, _Entry]:
    """The tensors a safetensors file says it holds, by name.

    Raises:
        UnsafeCheckpoint: anything else than a complete safetensors file of float tensors.
    """
    try:
        with path.open("rb") as file:
            length, first = file.read(8), file.peek(1)[:1]
            if first != b"{":
                raise _unsafe(path, _what_else(length))
            size, total = int.from_bytes(length, "little"), path.stat().st_size
            if not 2 <= size <= min(MAX_HEADER_BYTES, total - 8):
                raise _unsafe(path, "its header is cut off or too long")
            raw = file.read(size)
    except OSError as error:
        raise _unsafe(path, f"it cannot be read ({error.strerror})") from error
    entries = _parse(path, raw)
    _check_buffer(path, entries, total - 8 - size)
    return entries


def _parse(path: Path, raw: bytes) -> dict[str, _Entry]:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise _unsafe(path, "its header is not JSON") from error
    if isinstance(document, dict):
        document.pop("__metadata__", None)
    try:
        # Through JSON once more: strict validation of Python values refuses lists as tuples.
        return _HEADER.validate_json(json.dumps(document))
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors(include_url=False)[0]["loc"])
        raise _unsafe(path, f"its header is malformed at {place or 'the top'}") from error


def _check_buffer(path: Path, entries: dict[str, _Entry], size: int) -> None:
    """Tensors must fill the buffer without gaps or overlaps."""
    end = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        width = _ITEM_BYTES.get(entry.dtype)
        if width is None:
            allowed = ", ".join(_ITEM_BYTES)
            raise _unsafe(path, f"tensor {name!r} is of type {entry.dtype!r}, not {allowed}")
        first, after = entry.data_offsets
        if min(entry.shape, default=1) < 1 or first != end:
            raise _unsafe(path, f"tensor {name!r} is empty, or not where the one before ends")
        end = first + width * prod(entry.shape)
        if after != end:
            raise _unsafe(path, f"tensor {name!r} does not span the bytes of its shape")
    if end != size:
        raise _unsafe(path, f"it holds {size} bytes of tensors where its header says {end}")


def _what_else(start: bytes) -> str:
    """What a file is that has no JSON where a safetensors header begins."""
    for magic, kind in _PICKLE_STARTS.items():
        if start.startswith(magic):
            return f"it is {kind}, which could run code; it was not opened"
    return "its header is missing or is not JSON"


def _unsafe(path: Path, reason: str) -> UnsafeCheckpoint:
    return UnsafeCheckpoint(
        f"{path.name}: not usable as weights: {reason}; allowed: safetensors of float tensors",
        field="model",
    )


def _first(names: list[str]) -> str:
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return ", ".join(names[:_MAX_NAMED]) + more


@lru_cache(maxsize=64)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    """Checksum of a file; size and time of change make a changed file a new question."""
    del size, mtime_ns
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
