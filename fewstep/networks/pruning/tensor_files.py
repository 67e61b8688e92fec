"""Tensors and one JSON text as one safetensors file, whose checksum is its identity."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from fewstep.canonical import canonical_json
from fewstep.errors import InvalidInput, UnsafeCheckpoint

Metadata = TypeVar("Metadata", bound=BaseModel)


def content_of(tensors: Mapping[str, Tensor], *, key: str, metadata: object) -> bytes:
    """The file: equal tensors and metadata give equal bytes.

    All metadata is one text under one key: safetensors writes several keys in random order.
    """
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    return save(whole, metadata={key: canonical_json(metadata)})


def sha256_of(content: bytes) -> str:
    """The identity of a file's content."""
    return hashlib.sha256(content).hexdigest()


def read_tensors(
    path: Path, *, key: str, metadata: type[Metadata], field: str
) -> tuple[dict[str, Tensor], Metadata]:
    """Read tensors and metadata of one kind of file.

    Raises:
        UnsafeCheckpoint: not a safetensors file.
        InvalidInput: no such file, or its metadata are not of this kind.
    """
    if not path.is_file():
        raise InvalidInput(f"{field}={path.name!r}: no such file", field=field)
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(key, "null")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise UnsafeCheckpoint(
            f"{field}={path.name!r}: not a safetensors file ({error})", field=field
        ) from error
    try:
        return tensors, metadata.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(("metadata", *(str(part) for part in first["loc"])))
        raise InvalidInput(
            f"{field}={path.name!r}: {where}: {first['msg']}; allowed: files written by save",
            field=field,
        ) from error
