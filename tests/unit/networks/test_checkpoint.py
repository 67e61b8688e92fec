"""Checkpoints that are not what they should be are refused, by name of the difference."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from fewstep.errors import ChecksFailed, UnsafeCheckpoint
from fewstep.networks.models import resolve

Edit = Callable[[dict[str, Tensor]], object]


class _Trap:
    """A pickle that leaves a file behind when it is opened."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self._path,)


def _zipped(trap: _Trap) -> bytes:
    buffer = io.BytesIO()
    torch.save({"trap": trap}, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("pack", [pickle.dumps, _zipped], ids=["pickle", "torch.save"])
def test_pickle_is_refused_unopened(
    model_root: Path, tmp_path: Path, pack: Callable[[_Trap], bytes]
) -> None:
    sprung = tmp_path / "sprung"
    (model_root / "copy" / "unet.safetensors").write_bytes(pack(_Trap(sprung)))
    with pytest.raises(UnsafeCheckpoint, match=r"pickle.*was not opened.*allowed: safetensors"):
        resolve("file:copy", roots=[model_root])
    assert not sprung.exists()


@pytest.mark.parametrize("keep", [0, 5, 8, 100, 20_000, -1])
def test_truncated_file_is_refused(model_root: Path, keep: int) -> None:
    path = model_root / "copy" / "unet.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UnsafeCheckpoint, match=r"unet\.safetensors: not usable"):
        resolve("file:copy", roots=[model_root])


def test_missing_weights_are_refused(model_root: Path) -> None:
    (model_root / "copy" / "unet.safetensors").unlink()
    with pytest.raises(UnsafeCheckpoint, match="No such file"):
        resolve("file:copy", roots=[model_root])


def _write_header(path: Path, header: object, num_bytes: int) -> None:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + bytes(num_bytes))


def _entry(first: int, after: int, **other: object) -> dict[str, object]:
    return {"dtype": "F32", "shape": [2], "data_offsets": [first, after], **other}


@pytest.mark.parametrize(
    ("header", "num_bytes", "told"),
    [
        (b"not json", 0, "is not JSON"),
        (b"{not json}", 0, "is not JSON"),
        (b'{"a":' * 100_000, 0, "is not JSON"),
        (b"{\xff\xfe\xfd", 0, "is not JSON"),
        ([1, 2], 0, "is not JSON"),
        ({"a": 3}, 0, "malformed at a"),
        ({"a": _entry(0, 8, surprise=1)}, 8, "malformed at a.surprise"),
        ({"a": _entry(0, 8, shape=["2"])}, 8, "malformed at a.shape"),
        ({"a": _entry(0, 16, dtype="I64")}, 16, "'I64'"),
        ({"a": _entry(0, 4)}, 4, "does not span"),
        ({"a": _entry(-8, 0)}, 0, "not where the one before ends"),
        ({"a": _entry(0, 8), "b": _entry(4, 12)}, 12, "not where the one before ends"),
        ({"a": _entry(0, 8), "b": _entry(16, 24)}, 24, "not where the one before ends"),
        ({"a": _entry(0, 0, shape=[0])}, 0, "is empty"),
        ({"a": _entry(0, 8)}, 9, "holds 9 bytes of tensors where its header says 8"),
        ({"a": _entry(0, 8)}, 4, "holds 4 bytes of tensors where its header says 8"),
    ],
)
def test_malformed_header_is_refused(
    model_root: Path, header: object, num_bytes: int, told: str
) -> None:
    _write_header(model_root / "copy" / "unet.safetensors", header, num_bytes)
    with pytest.raises(UnsafeCheckpoint) as caught:
        resolve("file:copy", roots=[model_root])
    assert told in caught.value.message


def _rename(tensors: dict[str, Tensor]) -> None:
    tensors["out.9.bias"] = tensors.pop("out.2.bias")


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda tensors: tensors.pop("out.2.bias"), "missing out.2.bias"),
        (lambda tensors: tensors.update(extra=torch.ones(2)), "unexpected extra"),
        (_rename, "missing out.2.bias; unexpected out.9.bias"),
        (
            lambda tensors: tensors.update({"label_emb.weight": torch.zeros(10, 128)}),
            "shape label_emb.weight: (10, 128) instead of (11, 128)",
        ),
    ],
)
def test_other_tensors_than_the_architecture_has_are_named(
    model_root: Path, edit: Edit, told: str
) -> None:
    path = model_root / "copy" / "unet.safetensors"
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path)
    with pytest.raises(ChecksFailed) as caught:
        resolve("file:copy", roots=[model_root])
    assert told in caught.value.message
    assert caught.value.field == "model"


def test_many_differences_are_counted_not_listed(model_root: Path) -> None:
    path = model_root / "copy" / "unet.safetensors"
    save_file({"a": torch.ones(1)}, path)
    with pytest.raises(ChecksFailed, match=r"missing .* and \d+ more; unexpected a$"):
        resolve("file:copy", roots=[model_root])


def test_one_changed_bit_is_noticed(model_root: Path) -> None:
    path = model_root / "copy" / "unet.safetensors"
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    content[-1] ^= 1
    path.write_bytes(content.tobytes())
    found = hashlib.sha256(content.tobytes()).hexdigest()
    with pytest.raises(ChecksFailed, match=f"sha256 is {found}; the card says"):
        resolve("file:copy", roots=[model_root])
