"""The images of `zoo:cifar10`: 60,000 colour photographs of ten classes, from a file of the user's.

Read are the archives that go round: `train/CLASS/NNNN.jpg` in a tar file, and the original set in
its binary or its Python form. Ref: Krizhevsky 2009, "Learning multiple layers of features from tiny
images", section 3.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from fewstep.errors import InvalidInput, MissingExtra
from fewstep.networks.safe_pickle import NUMPY_ARRAYS, read_pickle
from fewstep.networks.zoo.data import Images, Labels, Split

CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
SIDE = 32
COUNTS = {"train": 50_000, "heldout": 10_000}
_FOLDERS = {"train": "train", "test": "heldout"}
_PIXELS = 3 * SIDE * SIDE
_MAX_MEMBER_BYTES = 64 * 2**20  # the largest file of the original archives has 31 MB
ALLOWED = "cifar10_jpeg.tar.xz, cifar-10-binary.tar.gz or cifar-10-python.tar.gz"


def load_cifar10_images(
    path: Path, split: Split, *, side: int = SIDE, counts: Mapping[str, int] = COUNTS
) -> tuple[Images, Labels]:
    """Images (N, 3, side, side) of 0..255 and labels (N,), in the order of the archive's names.

    "train" has 50,000 images, "heldout" the 10,000 of the set's own test part, "all" both.

    Args:
        path: the archive.
        split: which part.
        side: 32, or a divisor of it: images are then means of blocks, rounded half up.
        counts: images that the parts train and heldout must have; archives of others are refused.

    Raises:
        InvalidInput: the file is none of the archives, is damaged or incomplete; or bad arguments.
        UnsafeCheckpoint: a batch of the Python form holds more than arrays; nothing of it was run.
        MissingExtra: JPEG files need pillow, which is not installed.
    """
    if split not in ("train", "heldout", "all"):
        raise InvalidInput(f"split={split!r}: must be train, heldout or all", field="split")
    if side < 1 or SIDE % side:
        raise InvalidInput(f"side={side}: must be a divisor of {SIDE}", field="side")
    parts: list[str] = ["train", "heldout"] if split == "all" else [split]
    found = _read_archive(path, {part: counts[part] for part in parts})
    images = np.concatenate([_shrunk(found[part][0], side) for part in parts])
    return images, np.concatenate([found[part][1] for part in parts])


def _shrunk(images: Images, side: int) -> Images:
    factor = SIDE // side
    if factor == 1:
        return images
    blocks = images.reshape(len(images), 3, side, factor, side, factor)
    total = blocks.sum(axis=(3, 5), dtype=np.uint32)
    means: Images = ((2 * total + factor**2) // (2 * factor**2)).astype(np.uint8)
    return means


def _read_archive(path: Path, counts: Mapping[str, int]) -> dict[str, tuple[Images, Labels]]:
    rows: dict[str, list[tuple[str, Images, Labels]]] = {part: [] for part in counts}
    try:
        with tarfile.open(path) as archive:
            for name, content in _files(archive):
                part, images, labels = _decoded(name, content, counts)
                if part in counts:
                    rows[part].append((name, images, labels))
    except (OSError, EOFError, tarfile.TarError) as error:
        raise InvalidInput(
            f"data={str(path)!r}: cannot be read ({error}); allowed: {ALLOWED}", field="data"
        ) from error
    return {part: _joined(path, part, rows[part], count) for part, count in counts.items()}


def _files(archive: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    for member in archive:
        file = archive.extractfile(member) if member.isfile() else None
        if file is None:
            continue
        if member.size > _MAX_MEMBER_BYTES:
            raise InvalidInput(f"data: {member.name} has {member.size} bytes", field="data")
        yield member.name, file.read()


def _joined(
    path: Path, part: str, rows: list[tuple[str, Images, Labels]], wanted: int
) -> tuple[Images, Labels]:
    rows.sort(key=lambda row: row[0])
    count = sum(len(labels) for _, _, labels in rows)
    if count != wanted:
        raise InvalidInput(
            f"data={str(path)!r}: {count} {part} images, must be {wanted}; allowed: {ALLOWED}",
            field="data",
        )
    return np.concatenate([row[1] for row in rows]), np.concatenate([row[2] for row in rows])


def _decoded(name: str, content: bytes, parts: Collection[str]) -> tuple[str, Images, Labels]:
    """Part, images and labels of one file of an archive; part "" where it holds no images."""
    place = PurePosixPath(name)
    folders = place.parts
    if place.suffix == ".jpg" and len(folders) >= 3 and folders[-3] in _FOLDERS:
        part = _FOLDERS[folders[-3]]
        if part in parts:
            return part, *_from_jpeg(name, folders[-2], content)
    elif place.name.startswith(("data_batch", "test_batch")):
        part = "heldout" if place.name.startswith("test") else "train"
        if part in parts and place.suffix == ".bin":
            return part, *_from_binary(name, content)
        if part in parts:
            return part, *_from_pickle(name, content)
    return "", np.zeros((0, 3, SIDE, SIDE), np.uint8), np.zeros(0, np.int64)


def _from_jpeg(name: str, class_name: str, content: bytes) -> tuple[Images, Labels]:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise MissingExtra(
            "JPEG files need pillow, which is not installed: pip install 'fewstep[train]'"
        ) from error
    if class_name not in CLASSES:
        raise InvalidInput(
            f"data: {name}: class {class_name!r}; allowed: {', '.join(CLASSES)}", field="data"
        )
    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            pixels = np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise InvalidInput(f"data: {name}: cannot be read: {error}", field="data") from error
    if pixels.shape != (SIDE, SIDE, 3):
        raise InvalidInput(
            f"data: {name} has shape {pixels.shape}, must be {(SIDE, SIDE, 3)}", field="data"
        )
    label = np.array([CLASSES.index(class_name)], np.int64)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))[None], label


def _from_binary(name: str, content: bytes) -> tuple[Images, Labels]:
    """Records of one byte of label and 3,072 of pixels, channel by channel, row by row."""
    rows = np.frombuffer(content, np.uint8)
    if rows.size % (_PIXELS + 1):
        raise InvalidInput(
            f"data: {name} has {rows.size} bytes, must be whole records of {_PIXELS + 1}",
            field="data",
        )
    return _checked(name, rows.reshape(-1, _PIXELS + 1)[:, 1:], rows[:: _PIXELS + 1])


def _from_pickle(name: str, content: bytes) -> tuple[Images, Labels]:
    table = read_pickle(content, NUMPY_ARRAYS, what=f"data: {name}")
    try:
        pixels, labels = np.asarray(table[b"data"]), np.asarray(table[b"labels"])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InvalidInput(
            f"data: {name} is no batch of images: {error}; allowed: {ALLOWED}", field="data"
        ) from error
    return _checked(name, pixels, labels)


def _checked(name: str, pixels: Any, labels: Any) -> tuple[Images, Labels]:
    if pixels.dtype != np.uint8 or pixels.shape != (len(labels), _PIXELS):
        raise InvalidInput(
            f"data: {name} holds {pixels.dtype} of shape {pixels.shape} for {len(labels)} labels; "
            f"must be uint8 of {_PIXELS} pixels each",
            field="data",
        )
    if labels.size and not 0 <= labels.min() <= labels.max() < len(CLASSES):
        raise InvalidInput(f"data: {name} has labels outside 0..{len(CLASSES) - 1}", field="data")
    return pixels.reshape(-1, 3, SIDE, SIDE), labels.astype(np.int64)
