"""Archives of torch.save that are damaged or crafted: refused by what is wrong, and never run."""

from __future__ import annotations

import io
import pickle
import random
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fewstep.errors import FewstepError, InvalidInput, UnsafeCheckpoint
from fewstep.networks.convert import convert


class _Trap:
    """Leaves a file behind when it is unpickled the usual way."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self._path,)


@pytest.mark.parametrize("is_zip", [True, False])
def test_trap_stays_shut(tmp_path: Path, is_zip: bool) -> None:
    source, sprung = tmp_path / "in.pt", tmp_path / "sprung"
    document = {"x": torch.ones(2), "trap": _Trap(sprung)}
    torch.save(document, source, _use_new_zipfile_serialization=is_zip)
    told = (
        r"data\.pkl: names \w+\.\w+; allowed: collections\.OrderedDict" if is_zip else "bare pickle"
    )
    with pytest.raises(UnsafeCheckpoint, match=told):
        convert(source, tmp_path / "out.safetensors")
    assert not sprung.exists()
    torch.load(source, weights_only=False)
    assert sprung.exists()  # it was a trap


class _Reference:
    """Pickled as a persistent id."""

    def __init__(self, persistent_id: object) -> None:
        self.persistent_id = persistent_id


class _CraftedTensor:
    """Pickled as torch pickles tensors, with any numbers."""

    def __init__(self, storage: object, offset: object, shape: object, stride: object) -> None:
        self.arguments: tuple[object, ...] = (storage, offset, shape, stride, False, OrderedDict())

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return torch._utils._rebuild_tensor_v2, self.arguments


class _Pickler(pickle.Pickler):
    def persistent_id(self, value: object) -> object:
        return value.persistent_id if isinstance(value, _Reference) else None


def _pickled(document: object) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=2).dump(document)
    return buffer.getvalue()


def _archive(path: Path, pickled: bytes, **files: bytes) -> Path:
    """An archive as torch.save would write it, with four floats in storage 0."""
    contents = {"data.pkl": pickled, "version": b"3\n", "data/0": struct.pack("<4f", 1, 2, 3, 4)}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (contents | files).items():
            archive.writestr(f"archive/{name}", content)
    return path


FLOATS = ("storage", torch.FloatStorage, "0", "cpu", 4)


def _crafted(
    tmp_path: Path,
    *,
    storage: object = FLOATS,
    offset: object = 0,
    shape: object = (4,),
    stride: object = (1,),
    **files: bytes,
) -> Path:
    tensor = _CraftedTensor(_Reference(storage), offset, shape, stride)
    return _archive(tmp_path / "in.pt", _pickled({"x": tensor}), **files)


def test_crafted_archive_without_a_flaw_is_read(tmp_path: Path) -> None:
    """So that the refusals below are of the flaw alone."""
    convert(_crafted(tmp_path, offset=1, shape=(2, 2), stride=(2, 0)), tmp_path / "o.safetensors")
    assert load_file(tmp_path / "o.safetensors")["x"].tolist() == [[2, 2], [4, 4]]


@pytest.mark.parametrize(
    ("flaw", "told"),
    [
        ({"shape": (5,)}, "'x' reaches element 4 of a storage; allowed: below 4"),
        ({"shape": (2,), "stride": (4,)}, "reaches element 4"),
        ({"offset": 1}, "reaches element 4"),
        ({"offset": 2**62, "shape": (1,)}, "reaches element 4611686018427387904"),
        ({"shape": (2**40,), "stride": (0,)}, "tensors would take 4398046511104 bytes"),
        ({"shape": (2**31,) * 3, "stride": (0, 0, 0)}, "tensors would take"),
        ({"offset": -1}, "sizes that are no natural numbers"),
        ({"stride": (-1,)}, "sizes that are no natural numbers"),
        ({"shape": (True,)}, "sizes that are no natural numbers"),
        ({"shape": (2.0,)}, "sizes that are no natural numbers"),
        ({"shape": [4]}, "sizes that are no natural numbers"),
        ({"shape": (2**63, 0), "stride": (1, 1)}, "sizes that are no natural numbers"),
        ({"shape": (2, 2)}, "2 sizes and 1 strides"),
        ({"shape": (1,) * 65, "stride": (1,) * 65}, "65 sizes"),
        ({"storage": ("storage", torch.FloatStorage, "0", "cpu", 5)}, "16 bytes; allowed: 20"),
        ({"storage": ("storage", torch.DoubleStorage, "0", "cpu", 4)}, "16 bytes; allowed: 32"),
        ({"storage": ("storage", torch.FloatStorage, "0", "cpu", -4)}, "allowed: -16"),
        ({"storage": ("storage", torch.FloatStorage, "1", "cpu", 4)}, "data/1: names a storage"),
        ({"storage": ("storage", torch.FloatStorage, "../version", "cpu", 4)}, "not there"),
        ({"storage": ("storage", torch.FloatStorage, 0, "cpu", 4)}, "a persistent id; allowed"),
        ({"storage": ("storage", "FloatStorage", "0", "cpu", 4)}, "a persistent id; allowed"),
        ({"storage": ("module", torch.FloatStorage, "0", "cpu", 4)}, "a persistent id; allowed"),
        ({"storage": ("storage", torch.FloatStorage, "0", "cpu", 4, 1)}, "a persistent id"),
        ({"storage": "storage"}, "a persistent id; allowed"),
        ({"data/0": b"too short"}, "data/0: holds 9 bytes; allowed: 16"),
        ({"byteorder": b"big"}, "not little-endian"),
    ],
    ids=str,
)
def test_description_that_does_not_fit_its_storage_is_refused(
    tmp_path: Path, flaw: dict[str, Any], told: str
) -> None:
    with pytest.raises(UnsafeCheckpoint, match=told):
        convert(_crafted(tmp_path, **flaw), tmp_path / "out.safetensors")
    assert not list(tmp_path.glob("out*"))


def test_many_tensors_cannot_multiply_one_storage(tmp_path: Path) -> None:
    base, out = torch.ones(100), tmp_path / "out.safetensors"
    torch.save({str(i): base for i in range(8)}, tmp_path / "in.pt")
    assert convert(tmp_path / "in.pt", out)["values"] == 800
    torch.save({str(i): base for i in range(9)}, tmp_path / "in.pt")
    with pytest.raises(UnsafeCheckpoint, match="take 3600 bytes; allowed: up to 8 times the 400"):
        convert(tmp_path / "in.pt", out)


def test_pickle_cannot_alter_what_the_next_file_is_read_with(tmp_path: Path) -> None:
    """BUILD sets attributes of whatever is on the stack: here of the function that rebuilds."""
    poison = (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}X\x0c\x00\x00\x00__defaults__"
        b"K\x01K\x01K\x01\x87s\x86b."
    )
    with pytest.raises(UnsafeCheckpoint, match="holds a function"):
        convert(_archive(tmp_path / "poison.pt", poison), tmp_path / "out.safetensors")
    torch.save({"x": torch.ones(3)}, tmp_path / "in.pt")
    convert(tmp_path / "in.pt", tmp_path / "out.safetensors")
    assert load_file(tmp_path / "out.safetensors")["x"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("kept", [0.02, 0.5, 0.98])
def test_truncated_archive_is_refused(tmp_path: Path, kept: float) -> None:
    content = _crafted(tmp_path).read_bytes()
    (tmp_path / "in.pt").write_bytes(content[: int(kept * len(content))])
    with pytest.raises(UnsafeCheckpoint, match=r"no complete zip archive|is no zip archive"):
        convert(tmp_path / "in.pt", tmp_path / "out.safetensors")


def test_flipped_bit_of_a_storage_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    source = _crafted(tmp_path)
    content = bytearray(source.read_bytes())
    content[content.index(struct.pack("<4f", 1, 2, 3, 4))] ^= 1
    source.write_bytes(content)
    with pytest.raises(UnsafeCheckpoint, match="data/0: Bad CRC-32"):
        convert(source, tmp_path / "out.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.pt"]


def test_no_single_changed_byte_ends_in_anything_but_a_refusal_or_tensors(tmp_path: Path) -> None:
    content, draw = _crafted(tmp_path).read_bytes(), random.Random(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(content)
        damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        (tmp_path / "in.pt").write_bytes(damaged)
        try:
            convert(tmp_path / "in.pt", tmp_path / "out.safetensors")
        except FewstepError:
            refused += 1
    assert 100 < refused < 300, refused


def test_compressed_archive_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    """A megabyte of nothing in a few bytes, as zip bombs are made."""
    path = tmp_path / "in.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", _pickled({}))
        archive.writestr("archive/data/0", bytes(1 << 20))
    with pytest.raises(UnsafeCheckpoint, match="has compressed files"):
        convert(path, tmp_path / "out.safetensors")


def test_files_that_overlap_are_refused(tmp_path: Path) -> None:
    """One run of bytes listed under many names, as other zip bombs are made."""
    path = _archive(tmp_path / "in.pt", _pickled({}), **{"data/1": bytes(5000)})
    with zipfile.ZipFile(path, "a") as archive:
        (large,) = (file for file in archive.infolist() if file.filename == "archive/data/1")
        for index in range(2, 9):
            copy = zipfile.ZipInfo(f"archive/data/{index}")
            copy.CRC, copy.file_size, copy.compress_size = large.CRC, 5000, 5000
            copy.header_offset = large.header_offset
            archive.filelist.append(copy)
        archive._didModify = True  # type: ignore[attr-defined]
    with pytest.raises(UnsafeCheckpoint, match=r"claims 4\d{4} bytes of files in \d{4}"):
        convert(path, tmp_path / "out.safetensors")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is no zip archive"),
        (b"\x08\x00\x00\x00\x00\x00\x00\x00{}", "is no zip archive"),
        (b"PK\x03\x04 and no more", "is no complete zip archive"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "in.pt").write_bytes(content)
    with pytest.raises(UnsafeCheckpoint, match=told):
        convert(tmp_path / "in.pt", tmp_path / "out.safetensors")


@pytest.mark.parametrize("names", [[], ["a/data.pkl", "b/data.pkl"]])
def test_archive_without_exactly_one_description_is_refused(
    tmp_path: Path, names: list[str]
) -> None:
    with zipfile.ZipFile(tmp_path / "in.pt", "w") as archive:
        for name in ["a/version", *names]:
            archive.writestr(name, _pickled({}))
    with pytest.raises(UnsafeCheckpoint, match=f"has {len(names)} usable data.pkl"):
        convert(tmp_path / "in.pt", tmp_path / "out.safetensors")


def test_missing_file_and_wrong_name_are_told(tmp_path: Path) -> None:
    with pytest.raises(UnsafeCheckpoint, match="cannot be read"):
        convert(tmp_path / "in.pt", tmp_path / "out.safetensors")
    with pytest.raises(InvalidInput, match=r"out='out\.bin': allowed: a name ending in"):
        convert(_crafted(tmp_path), tmp_path / "out.bin")
    with pytest.raises(InvalidInput, match="cannot be written"):
        convert(_crafted(tmp_path), tmp_path / "nowhere" / "out.safetensors")
