"""Pickles are read without running anything: only listed names, plain values, given references."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fewstep.errors import UnsafeCheckpoint
from fewstep.networks.safe_pickle import NUMPY_ARRAYS, Names, read_pickle

NO_NAMES: Names = {}
DICTS: Names = {("collections", "OrderedDict"): OrderedDict}


class _Trap:
    """Leaves a file behind when it is unpickled the usual way."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self._path,)


class _Referring(pickle.Pickler):
    """Writes bytes as references to something outside."""

    def persistent_id(self, value: object) -> object:
        return ("outside", value.decode()) if isinstance(value, bytes) else None


def _referring(value: object, path: Path) -> bytes:
    with path.open("wb") as file:
        _Referring(file, protocol=2).dump(value)
    return path.read_bytes()


def test_plain_values_and_listed_names_are_read() -> None:
    plain = {"a": [1, 2.5, None, True, "text"], "b": (3, {"c": -(2**70)})}
    assert read_pickle(pickle.dumps(plain), NO_NAMES, what="file") == plain
    ordered = OrderedDict(b=1, a=2)
    assert read_pickle(pickle.dumps(ordered), DICTS, what="file") == ordered
    array = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(
        read_pickle(pickle.dumps(array, protocol=3), NUMPY_ARRAYS, what="file"), array
    )


def test_sprung_trap_of_the_usual_reader_stays_shut(tmp_path: Path) -> None:
    content = pickle.dumps([1, _Trap(tmp_path / "sprung")])
    with pytest.raises(UnsafeCheckpoint, match=r"^file: names \S+; allowed: collections"):
        read_pickle(content, DICTS, what="file")
    assert not (tmp_path / "sprung").exists()
    pickle.loads(content)
    assert (tmp_path / "sprung").exists()  # it was a trap


@pytest.mark.parametrize(
    "content",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"\x80\x04\x8c\x08builtins\x8c\x04exec\x93.",  # named from the stack
        b"\x82\x01.",  # by number, from a registry of extensions
        b"\x80\x02ccollections\nOrderedDict.fromkeys\n.",
    ],
)
def test_no_other_name_is_found_however_it_is_written(content: bytes) -> None:
    with pytest.raises(UnsafeCheckpoint, match=r"^file: "):
        read_pickle(content, DICTS, what="file")


@pytest.mark.parametrize(
    "content", [b"", b".", b"\x80\x02", b"\x80\x02(", b"no pickle", b"\x80\x09."]
)
def test_damaged_pickle_is_refused(content: bytes) -> None:
    with pytest.raises(UnsafeCheckpoint, match=r"^file: is no complete pickle"):
        read_pickle(content, NO_NAMES, what="file")


@pytest.mark.parametrize("put", [b"r\xff\xff\xff\xff", b"p4294967295\n"])
def test_memo_places_beyond_what_there_can_be_are_refused(put: bytes) -> None:
    """An unpickler makes room for all places up to the largest: 32 GB here."""
    with pytest.raises(UnsafeCheckpoint, match=r"place 4294967295 of its memo; allowed: up to \d+"):
        read_pickle(b"\x80\x02}" + put + b".", NO_NAMES, what="file")


def test_references_are_looked_up_where_asked_and_refused_elsewhere(tmp_path: Path) -> None:
    content = _referring({"x": b"one", "y": [b"two"]}, tmp_path / "pickled")
    found = read_pickle(content, NO_NAMES, what="file", load_persistent=lambda given: given)
    assert found == {"x": ("outside", "one"), "y": [("outside", "two")]}
    with pytest.raises(UnsafeCheckpoint, match="file: refers to something outside of itself"):
        read_pickle(content, NO_NAMES, what="file")


def test_refusal_of_a_reference_names_the_file(tmp_path: Path) -> None:
    def refuse(reference: object) -> object:
        raise UnsafeCheckpoint(f"{reference!r}: not there")

    content = _referring(b"one", tmp_path / "pickled")
    with pytest.raises(UnsafeCheckpoint, match=r"^file: \('outside', 'one'\): not there"):
        read_pickle(content, NO_NAMES, what="file", load_persistent=refuse)
