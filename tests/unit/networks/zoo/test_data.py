"""The digits and their split."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from fewstep.errors import InvalidInput, MissingExtra
from fewstep.networks.zoo.data import Split
from fewstep.networks.zoo.digits_data import load_digits_images


@pytest.mark.parametrize(("split", "count"), [("train", 1500), ("heldout", 297), ("all", 1797)])
def test_split_has_its_count_of_bytes(split: Split, count: int) -> None:
    images, labels = load_digits_images(split)
    assert images.shape == (count, 1, 8, 8)
    assert images.dtype == np.uint8
    assert (images.min(), images.max()) == (0, 255)
    assert labels.shape == (count,)
    assert set(labels.tolist()) == set(range(10))


def test_images_are_those_of_scikit_learn_stretched_to_bytes() -> None:
    images, labels = load_digits_images("all")
    source = load_digits()
    assert np.abs(images[:, 0] * (16 / 255) - source.images).max() < 0.04
    assert np.array_equal(labels, source.target)


def test_train_and_heldout_are_a_partition_in_proportion() -> None:
    parts = [load_digits_images("train"), load_digits_images("heldout")]
    every = load_digits_images("all")
    together = np.concatenate([images for images, _ in parts]).reshape(1797, 64)
    assert np.array_equal(
        np.unique(together, axis=0), np.unique(every[0].reshape(1797, 64), axis=0)
    )
    shares = np.bincount(parts[1][1]) / np.bincount(every[1])
    assert np.abs(shares - 297 / 1797).max() < 0.005, shares


def test_unknown_split_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"split='test'.*train, heldout or all"):
        load_digits_images("test")  # type: ignore[arg-type]  # what a caller may do


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingExtra, match=r"fewstep\[train\]"):
        load_digits_images("all")
