"""The images of `zoo:digits`: 1,797 handwritten digits that ship inside scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fewstep.errors import InvalidInput, MissingExtra
from fewstep.networks.zoo.data import Images, Labels, Split

NUM_CLASSES = 10
NUM_HELDOUT = 297  # leaves 1,500 to train on
SPLIT_SEED = 20231002
_GREY_LEVELS = 16  # scikit-learn counts dark pixels in 4x4 cells: 0..16


def load_digits_images(split: Split = "all") -> tuple[Images, Labels]:
    """Images (N, 1, 8, 8) of 0..255 and labels (N,), in the order of scikit-learn.

    "train" has 1,500 images, "heldout" the other 297, classes in the proportions of "all".

    Raises:
        MissingExtra: scikit-learn is not installed.
        InvalidInput: no such split.
    """
    images, labels = _all_digits()
    if split == "all":
        return images, labels
    heldout = heldout_mask(labels)
    if split == "heldout":
        return images[heldout], labels[heldout]
    if split == "train":
        return images[~heldout], labels[~heldout]
    raise InvalidInput(f"split={split!r}: must be train, heldout or all", field="split")


def heldout_mask(labels: Labels) -> npt.NDArray[np.bool_]:
    """Which images are held out: a fixed stratified draw of `NUM_HELDOUT` of them."""
    rng = np.random.default_rng(SPLIT_SEED)
    mask = np.zeros(len(labels), dtype=bool)
    for label, count in enumerate(_heldout_per_class(labels)):
        members = np.flatnonzero(labels == label)
        mask[rng.permutation(members)[:count]] = True
    return mask


def _heldout_per_class(labels: Labels) -> npt.NDArray[np.int64]:
    """Proportional counts that add up exactly (largest remainders)."""
    exact = np.bincount(labels, minlength=NUM_CLASSES) * (NUM_HELDOUT / len(labels))
    counts: Labels = np.floor(exact).astype(np.int64)
    missing = NUM_HELDOUT - int(counts.sum())
    counts[np.argsort(counts - exact, kind="stable")[:missing]] += 1
    return counts


def _all_digits() -> tuple[Images, Labels]:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingExtra(
            "the digit images come with scikit-learn, which is not installed: "
            "pip install 'fewstep[train]'"
        ) from error
    bunch: Any = load_digits()  # scikit-learn carries no types
    images: Images = np.rint(bunch.images * (255 / _GREY_LEVELS)).astype(np.uint8)
    labels: Labels = bunch.target.astype(np.int64)
    return images[:, None], labels
