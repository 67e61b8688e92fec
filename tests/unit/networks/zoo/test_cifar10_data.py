"""The photographs: every form of the archive gives the same images; anything else is refused."""

from __future__ import annotations

import io
import pickle
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fewstep.errors import InvalidInput, MissingExtra, UnsafeCheckpoint
from fewstep.networks.zoo.cifar10_data import CLASSES, load_cifar10_images
from fewstep.networks.zoo.data import Images, Labels

COUNTS = {"train": 20, "heldout": 10}


def _images(seed: int, count: int) -> tuple[Images, Labels]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 3, 32, 32), np.uint8), np.arange(count) % 10


TRAIN, HELDOUT = _images(0, 20), _images(1, 10)


def _write(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def _records(images: Images, labels: Labels) -> bytes:
    rows = np.concatenate([labels.astype(np.uint8)[:, None], images.reshape(len(images), -1)], 1)
    return rows.tobytes()


def _binary(path: Path) -> Path:
    images, labels = TRAIN
    return _write(
        path,
        {
            "cifar-10-batches-bin/test_batch.bin": _records(*HELDOUT),
            "cifar-10-batches-bin/data_batch_2.bin": _records(images[10:], labels[10:]),
            "cifar-10-batches-bin/data_batch_1.bin": _records(images[:10], labels[:10]),
            "cifar-10-batches-bin/batches.meta.txt": b"airplane\n",
        },
    )


def _batch(images: Images, labels: Labels) -> bytes:
    """A batch as Python 2 pickled it: names are byte strings, and so is the array's content."""
    content, count = images.tobytes(), len(images)
    minus_one = b"J\xff\xff\xff\xff"
    kind = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNN" + 2 * minus_one + b"K\x00tb"
    shape = b"(K" + bytes([count]) + b"M" + (3072).to_bytes(2, "little") + b"t"
    body = b"\x89T" + len(content).to_bytes(4, "little") + content
    empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
    array = empty + b"(K\x01" + shape + kind + body + b"tb"
    listed = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(U\x04data" + array + b"U\x06labels" + listed + b"u."


def _python(path: Path, **more: bytes) -> Path:
    return _write(
        path,
        {
            "cifar-10-batches-py/data_batch_1": _batch(*TRAIN),
            "cifar-10-batches-py/test_batch": _batch(*HELDOUT),
            "cifar-10-batches-py/readme.html": b"<html>",
        }
        | {f"cifar-10-batches-py/{name}": content for name, content in more.items()},
    )


def _jpeg(path: Path) -> Path:
    files = {}
    for folder, (images, labels) in (("train", TRAIN), ("test", HELDOUT)):
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            content = io.BytesIO()
            Image.fromarray(_shown(image)).save(content, "JPEG", quality=100, subsampling=0)
            files[f"{folder}/{CLASSES[label]}/{index:04}.jpg"] = content.getvalue()
    return _write(path, dict(reversed(files.items())))


def _shown(image: Images) -> Images:
    return np.ascontiguousarray(image.transpose(1, 2, 0))


@pytest.mark.parametrize("write", [_binary, _python])
def test_original_archives_give_their_images_in_order(write: object, tmp_path: Path) -> None:
    path = write(tmp_path / "archive.tar.gz")  # type: ignore[operator]  # one of the two above
    for split, (images, labels) in (("train", TRAIN), ("heldout", HELDOUT)):
        found = load_cifar10_images(path, split, counts=COUNTS)  # type: ignore[arg-type]
        assert np.array_equal(found[0], images)
        assert np.array_equal(found[1], labels)
    both = load_cifar10_images(path, "all", counts=COUNTS)
    assert np.array_equal(both[0], np.concatenate([TRAIN[0], HELDOUT[0]]))
    assert np.array_equal(both[1], np.concatenate([TRAIN[1], HELDOUT[1]]))


def test_jpeg_files_come_by_class_and_number_whatever_their_order(tmp_path: Path) -> None:
    images, labels = load_cifar10_images(_jpeg(tmp_path / "a.tar.gz"), "train", counts=COUNTS)
    assert labels.tolist() == sorted(TRAIN[1].tolist())
    order = np.argsort(TRAIN[1], kind="stable")
    # Noise is the hardest thing for JPEG; another image would be some 85 grey levels away.
    assert np.abs(images.astype(float) - TRAIN[0][order]).mean() < 4.0


def test_smaller_sides_are_means_of_blocks(tmp_path: Path) -> None:
    path = _binary(tmp_path / "a.tar.gz")
    found, _ = load_cifar10_images(path, "heldout", side=16, counts=COUNTS)
    assert found.shape == (10, 3, 16, 16)
    block = HELDOUT[0][3, 1, 4:6, 10:12].astype(float)
    assert found[3, 1, 2, 5] == int(block.mean() + 0.5)
    whole = HELDOUT[0].reshape(10, 3, 16, 2, 16, 2).mean((3, 5))
    assert np.abs(found - whole).max() <= 0.5


@pytest.mark.parametrize("side", [0, -16, 5, 64])
def test_other_sides_are_refused(side: int, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=f"side={side}: must be a divisor of 32"):
        load_cifar10_images(_binary(tmp_path / "a.tar.gz"), "train", side=side, counts=COUNTS)


def test_other_splits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"split='test': must be train, heldout or all"):
        load_cifar10_images(tmp_path / "a.tar.gz", "test")  # type: ignore[arg-type]


def test_incomplete_archive_names_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"20 train images, must be 50000; allowed: cifar"):
        load_cifar10_images(_binary(tmp_path / "a.tar.gz"), "train")


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b broken"])
def test_what_is_no_archive_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"data='.*a\.tar\.gz': cannot be read"):
        load_cifar10_images(path, "train")
    with pytest.raises(InvalidInput, match="cannot be read"):
        load_cifar10_images(tmp_path / "missing.tar.gz", "train")


def test_truncated_archive_is_refused(tmp_path: Path) -> None:
    path = _binary(tmp_path / "a.tar.gz")
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(InvalidInput, match="cannot be read"):
        load_cifar10_images(path, "train", counts=COUNTS)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("train/zebra/0000.jpg", b"", "class 'zebra'; allowed: airplane, "),
        ("train/cat/0000.jpg", b"not a picture", r"cat/0000\.jpg: cannot be read"),
        ("b/data_batch_1.bin", b"\0" * 3074, "3074 bytes, must be whole records of 3073"),
        ("b/data_batch_1.bin", b"\x0a" + b"\0" * 3072, r"labels outside 0\.\.9"),
        ("b/data_batch_1", pickle.dumps([1, 2]), "is no batch of images"),
        ("b/data_batch_1", pickle.dumps({b"labels": [1]}), "is no batch of images"),
        (
            "b/data_batch_1",
            pickle.dumps({b"data": np.zeros((1, 3072)), b"labels": [1]}, 4),
            r"holds float64 of shape \(1, 3072\) for 1 labels",
        ),
    ],
)
def test_damaged_files_of_an_archive_are_named(
    name: str, content: bytes, problem: str, tmp_path: Path
) -> None:
    path = _write(tmp_path / "a.tar.gz", {name: content})
    with pytest.raises(InvalidInput, match=problem):
        load_cifar10_images(path, "train")


def test_picture_of_another_size_is_refused(tmp_path: Path) -> None:
    content = io.BytesIO()
    Image.new("RGB", (31, 32)).save(content, "JPEG")
    path = _write(tmp_path / "a.tar.gz", {"train/cat/0000.jpg": content.getvalue()})
    with pytest.raises(InvalidInput, match=r"has shape \(32, 31, 3\), must be \(32, 32, 3\)"):
        load_cifar10_images(path, "train")


class _WritesAFile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_code_in_a_batch_is_refused_and_not_run(tmp_path: Path) -> None:
    trap = tmp_path / "executed"
    batch = pickle.dumps({b"data": _WritesAFile(trap), b"labels": [0]})
    path = _python(tmp_path / "a.tar.gz", data_batch_2=batch)
    with pytest.raises(UnsafeCheckpoint, match=r"data_batch_2: names .*; allowed: numpy"):
        load_cifar10_images(path, "train", counts=COUNTS)
    assert not trap.exists()
    pickle.loads(batch)  # the trap works where pickles are run
    assert trap.exists()


def test_without_pillow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = _jpeg(tmp_path / "a.tar.gz")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtra, match=r"fewstep\[train\]"):
        load_cifar10_images(path, "train", counts=COUNTS)
