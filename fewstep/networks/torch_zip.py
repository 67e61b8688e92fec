"""Reads tensors out of the zip archives that torch.save writes, without running anything in them.

Such an archive holds `data.pkl`, which describes tensors as views of storages, and one file of
plain numbers per storage. Everything is checked against the archive before a storage is read.
Ref: PyTorch, "Serialization semantics"; format version 3, torch 1.6 and newer.
"""

from __future__ import annotations

import struct
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from math import prod
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from fewstep.errors import InvalidInput, UnsafeCheckpoint
from fewstep.networks.safe_pickle import Names, read_pickle

_STORAGE_TYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
# What zipfile raises at damaged, encrypted or crafted archives.
_ZIP_ERRORS = (zipfile.BadZipFile, EOFError, RuntimeError, ValueError, struct.error)
_ZIP_START = b"PK\x03\x04"
_MAX_PICKLE_BYTES = 64_000_000  # of names and shapes, where a large network has 200 000
_MAX_ENTRIES = 1_000_000
_MAX_DIMS = 64
_MAX_COPIES = 8  # bytes of all tensors over those of their storages: they may share, not multiply
_CHUNK_BYTES = 1 << 20
_MAX_NAMED = 5


class StoredValues(NamedTuple):
    """One storage: a file of the archive, as a flat list of numbers."""

    file: str
    dtype: torch.dtype
    length: int  # in numbers


class StoredTensor(NamedTuple):
    """A tensor as a view of a storage, checked to lie within it."""

    storage: StoredValues
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class TorchZip:
    """An opened archive; made by `open_torch_zip`.

    Raises:
        UnsafeCheckpoint: a compressed or overlapping archive, or one without tensors.
    """

    def __init__(self, name: str, archive: zipfile.ZipFile, size: int) -> None:
        self._name = name
        self._archive = archive
        self._files = _checked_files(name, archive, size)
        (pickled,) = (file for file in self._files if _is_pickle(file))
        self._folder = pickled.removesuffix("data.pkl")
        self._check_byte_order()
        content = archive.read(pickled)
        self._document = read_pickle(
            content, _names(), what=f"{name}: data.pkl", load_persistent=self._storage
        )

    def tensors(self, key: str | None = None) -> dict[str, StoredTensor]:
        """The tensors by name: those at the top or, with a key, those under it.

        Raises:
            InvalidInput: there is no such key; the message lists those with tensors.
            UnsafeCheckpoint: something else than named tensors, or one outside its storage.
        """
        found = self._document if key is None else self._under(key)
        if not isinstance(found, dict) or not found:
            raise self._unsafe(
                f"holds {_kind(found)} where named tensors belong{self._elsewhere()}"
            )
        tensors = {}
        for name, value in dict.items(found):
            if not isinstance(name, str) or not isinstance(value, _Rebuilt):
                where = name if isinstance(name, str) else _kind(name)
                told = f"{where!r} is {_kind(value)}, not a tensor with a name"
                raise self._unsafe(told + self._elsewhere())
            tensors[name] = self._checked(name, value)
        self._check_total(list(tensors.values()))
        return tensors

    def read(self, storage: StoredValues) -> Tensor:
        """The numbers of a storage, flat.

        Raises:
            UnsafeCheckpoint: they are cut off or damaged.
        """
        if storage.length == 0:
            return torch.empty(0, dtype=storage.dtype)
        values = bytearray(storage.length * storage.dtype.itemsize)
        place, rest = 0, memoryview(values)
        try:
            with self._archive.open(storage.file) as file:
                while place < len(values) and (read := file.read(_CHUNK_BYTES)):
                    rest[place : place + len(read)] = read
                    place += len(read)
        except (*_ZIP_ERRORS, OSError) as error:
            raise self._unsafe(f"{storage.file}: {error}") from error
        if place < len(values):
            raise self._unsafe(f"{storage.file}: ends after {place} of {len(values)} bytes")
        return torch.frombuffer(values, dtype=storage.dtype)

    def _under(self, key: str) -> object:
        document = self._document
        if isinstance(document, dict) and dict.__contains__(document, key):
            return dict.__getitem__(document, key)
        allowed = ", ".join(self._keys()) or "none"
        raise InvalidInput(
            f"key={key!r}: {self._name} has no such key; allowed: {allowed}", field="key"
        )

    def _keys(self) -> list[str]:
        """The first keys at the top that hold tensors."""
        if not isinstance(self._document, dict):
            return []
        items = dict.items(self._document)
        return [k for k, v in items if isinstance(k, str) and _has_tensors(v)][:_MAX_NAMED]

    def _elsewhere(self) -> str:
        keys = self._keys()
        return f" (there are tensors under --key {' or '.join(keys)})" if keys else ""

    def _storage(self, persistent_id: object) -> StoredValues:
        """The storage that a persistent id names, if the archive holds it in that size."""
        match persistent_id:
            case ("storage", torch.dtype() as dtype, str(number), str(), int(count)):
                file = f"{self._folder}data/{number}"
            case _:
                raise UnsafeCheckpoint("a persistent id; allowed: those of storages on the CPU")
        if file not in self._files:
            raise UnsafeCheckpoint(f"{file}: names a storage that is not there")
        held, wanted = self._files[file], count * dtype.itemsize
        if count < 0 or held != wanted:
            raise UnsafeCheckpoint(f"{file}: holds {held} bytes; allowed: {wanted}, as described")
        return StoredValues(file, dtype, count)

    def _checked(self, name: str, value: _Rebuilt) -> StoredTensor:
        """The tensor, if every element of it lies within its storage."""
        storage, offset, shape, stride, metadata = value
        if not isinstance(storage, StoredValues) or metadata:
            raise self._unsafe(f"{name!r} is a tensor of a kind that is not read")
        if not (_are_sizes((offset,)) and _are_sizes(shape) and _are_sizes(stride)):
            raise self._unsafe(f"{name!r} has sizes that are no natural numbers")
        if len(shape) != len(stride) or len(shape) > _MAX_DIMS:
            raise self._unsafe(f"{name!r} has {len(shape)} sizes and {len(stride)} strides")
        last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
        if prod(shape) and last >= storage.length:
            raise self._unsafe(
                f"{name!r} reaches element {last} of a storage; allowed: below {storage.length}"
            )
        return StoredTensor(storage, offset, shape, stride)

    def _check_total(self, tensors: list[StoredTensor]) -> None:
        held = sum(s.length * s.dtype.itemsize for s in {tensor.storage for tensor in tensors})
        needed = sum(prod(t.shape) * t.storage.dtype.itemsize for t in tensors)
        if needed > _MAX_COPIES * held:
            allowed = f"up to {_MAX_COPIES} times the {held} bytes of their storages"
            raise self._unsafe(f"tensors would take {needed} bytes; allowed: {allowed}")

    def _check_byte_order(self) -> None:
        file = f"{self._folder}byteorder"
        if file in self._files and self._archive.read(file) != b"little":
            raise self._unsafe("its numbers are not little-endian")

    def _unsafe(self, reason: str) -> UnsafeCheckpoint:
        return _unsafe(self._name, reason)


@contextmanager
def open_torch_zip(path: Path) -> Iterator[TorchZip]:
    """Open an archive of torch.save; storages are read on demand.

    Raises:
        UnsafeCheckpoint: anything else, damaged or crafted; nothing of it was executed.
    """
    name = path.name
    with ExitStack() as opened:
        try:
            file = opened.enter_context(path.open("rb"))
            _check_start(name, file.read(8))
            archive = opened.enter_context(zipfile.ZipFile(file))
            found = TorchZip(name, archive, path.stat().st_size)
        except OSError as error:
            raise _unsafe(name, f"cannot be read ({error.strerror})") from error
        except _ZIP_ERRORS as error:
            raise _unsafe(name, f"is no complete zip archive: {error}") from error
        yield found


class _Rebuilt(NamedTuple):
    """A tensor as the pickle describes it, unchecked. No pickle can alter it afterwards."""

    storage: object
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    metadata: object


def _names() -> Names:
    """What the pickle of a checkpoint may name.

    The functions are made anew for each file: a pickle may set attributes of what it names.
    """

    def rebuild_tensor(
        storage: object,
        offset: int,
        shape: tuple[int, ...],
        stride: tuple[int, ...],
        requires_grad: object = None,  # noqa: ARG001
        hooks: object = None,  # noqa: ARG001
        metadata: object = None,
    ) -> _Rebuilt:
        return _Rebuilt(storage, offset, shape, stride, metadata)

    def rebuild_parameter(tensor: object, requires_grad: object, hooks: object) -> object:  # noqa: ARG001
        return tensor

    return {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): rebuild_tensor,
        ("torch._utils", "_rebuild_parameter"): rebuild_parameter,
        **{("torch", name): dtype for name, dtype in _STORAGE_TYPES.items()},
    }


def _checked_files(name: str, archive: zipfile.ZipFile, size: int) -> dict[str, int]:
    """Sizes by name of the archive's files, none of them larger than what the archive holds."""
    files = archive.infolist()
    sizes = {file.filename: file.file_size for file in files}
    if len(files) > _MAX_ENTRIES or len(sizes) != len(files):
        raise _unsafe(name, "is a zip archive with too many files, or two of one name")
    packed = [f.filename for f in files if f.compress_type or f.file_size != f.compress_size]
    if packed:
        raise _unsafe(name, f"has compressed files, such as {packed[0]!r}; torch.save writes none")
    if sum(sizes.values()) > size:
        raise _unsafe(name, f"claims {sum(sizes.values())} bytes of files in {size}")
    pickles = [file for file in sizes if _is_pickle(file)]
    if len(pickles) != 1 or sizes[pickles[0]] > _MAX_PICKLE_BYTES:
        raise _unsafe(name, f"is no archive of torch.save: has {len(pickles)} usable data.pkl")
    return sizes


def _check_start(name: str, start: bytes) -> None:
    if start.startswith(_ZIP_START):
        return
    if start.startswith(b"\x80"):
        told = "is a bare pickle, perhaps of torch before 1.6: save it again with a newer torch"
        raise _unsafe(name, told)
    raise _unsafe(name, "is no zip archive")


def _is_pickle(file: str) -> bool:
    return file == "data.pkl" or file.endswith("/data.pkl")


def _has_tensors(value: object) -> bool:
    return isinstance(value, dict) and any(isinstance(v, _Rebuilt) for v in dict.values(value))


def _are_sizes(values: object) -> bool:
    is_sequence = type(values) is tuple
    return is_sequence and all(type(v) is int and 0 <= v < 2**63 for v in values)  # type: ignore[attr-defined]


def _kind(value: object) -> str:
    return "a tensor" if isinstance(value, _Rebuilt) else f"a {type(value).__name__}"


def _unsafe(name: str, reason: str) -> UnsafeCheckpoint:
    return UnsafeCheckpoint(
        f"{name}: {reason}; allowed: tensors by name in a file of torch.save", field="file"
    )
