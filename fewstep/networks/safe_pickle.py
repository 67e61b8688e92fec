"""Reads pickles without running them: only listed names can be built, all others are refused.

The one place where pickled bytes are read. Public data sets and checkpoints still come so.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fewstep.errors import UnsafeCheckpoint

Names = Mapping[tuple[str, str], Any]  # (module, name) as written in the pickle -> what to build
LoadPersistent = Callable[[object], Any]  # a persistent id -> what lies outside of the pickle

# An array's own way of saying how it is rebuilt, wherever this version of numpy keeps it.
_REBUILD_ARRAY = np.empty(0).__reduce__()[0]
NUMPY_ARRAYS: Names = {
    ("numpy.core.multiarray", "_reconstruct"): _REBUILD_ARRAY,
    ("numpy._core.multiarray", "_reconstruct"): _REBUILD_ARRAY,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


def read_pickle(
    content: bytes, names: Names, *, what: str, load_persistent: LoadPersistent | None = None
) -> Any:
    """The object in a pickle made of plain values and the listed names.

    Args:
        content: The pickle.
        names: What may be built; nothing is ever imported.
        what: Names the file in messages.
        load_persistent: Finds what persistent ids stand for; without it they are refused.

    Raises:
        UnsafeCheckpoint: it names anything else, or is no complete pickle.
    """
    try:
        _check_memo(content)
        return _OnlyThese(content, names, load_persistent).load()
    except UnsafeCheckpoint as error:
        raise UnsafeCheckpoint(f"{what}: {error.message}") from error
    except Exception as error:  # damaged pickles raise whatever the interrupted step raises
        raise UnsafeCheckpoint(f"{what}: is no complete pickle: {error}") from error


def _check_memo(content: bytes) -> None:
    """Refuse memo places beyond all there can be: an unpickler makes room up to the largest."""
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name.endswith("PUT") and int(argument or 0) > len(content):
            raise UnsafeCheckpoint(
                f"puts something at place {argument} of its memo; allowed: up to {len(content)}"
            )


class _OnlyThese(pickle.Unpickler):
    """An unpickler that looks names up in a table instead of importing them."""

    def __init__(self, content: bytes, names: Names, load: LoadPersistent | None) -> None:
        super().__init__(io.BytesIO(content), encoding="bytes")
        self._names = names
        self._load = load

    def find_class(self, module_name: str, global_name: str) -> Any:
        """What a name stands for; refused where it is not listed."""
        try:
            return self._names[module_name, global_name]
        except KeyError:
            allowed = ", ".join(sorted(".".join(name) for name in self._names))
            raise UnsafeCheckpoint(
                f"names {module_name}.{global_name}; allowed: {allowed}"
            ) from None

    def persistent_load(self, persistent_id: object) -> Any:
        """What lies outside of the pickle."""
        if self._load is None:
            raise UnsafeCheckpoint("refers to something outside of itself; allowed: plain values")
        return self._load(persistent_id)
