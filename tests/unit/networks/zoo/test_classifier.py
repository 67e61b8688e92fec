"""The digit classifier: accurate on held-out images, smooth, repeatable."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from fewstep.errors import InvalidInput
from fewstep.networks.zoo.classifier import ImageClassifier, evaluate, load_classifier
from fewstep.networks.zoo.classifier_training import accuracy, train_classifier
from fewstep.networks.zoo.data import Images
from fewstep.networks.zoo.digits_data import load_digits_images
from fewstep.networks.zoo.digits_recipe import DIGITS

FEATURE_WIDTH = DIGITS.classifier.num_features


def _bundled() -> ImageClassifier:
    return load_classifier(DIGITS)


def features(model: ImageClassifier, images: Images) -> npt.NDArray[np.float32]:
    found: npt.NDArray[np.float32] = evaluate(model, images)[0].numpy()
    return found


def test_heldout_accuracy_is_at_least_98_percent() -> None:
    share = accuracy(_bundled(), *load_digits_images("heldout"))
    assert share >= 0.98, share


def test_features_have_unit_mean_variance_on_training_images() -> None:
    found = features(_bundled(), load_digits_images("train")[0])
    assert found.shape == (1500, FEATURE_WIDTH)
    assert found.dtype == np.float32
    assert found.var(axis=0, ddof=1, dtype=np.float64).mean() == pytest.approx(1.0, abs=1e-4)
    rank = np.linalg.matrix_rank(np.cov(found.T.astype(np.float64)))
    assert rank == FEATURE_WIDTH  # no dead feature


def test_features_do_not_depend_on_the_batch() -> None:
    model, images = _bundled(), load_digits_images("heldout")[0]
    alone = np.concatenate([features(model, images[i : i + 1]) for i in range(8)])
    np.testing.assert_allclose(features(model, images)[:8], alone, rtol=1e-4, atol=1e-5)


def test_one_grey_level_moves_features_little() -> None:
    model, images = _bundled(), load_digits_images("heldout")[0]
    nearby = np.where(images > 127, images - 1, images + 1).astype(np.uint8)
    moved = np.linalg.norm(features(model, nearby) - features(model, images), axis=1)
    between = np.linalg.norm(features(model, images[1:]) - features(model, images[:-1]), axis=1)
    assert moved.max() < 0.1 * np.median(between), (moved.max(), np.median(between))


@pytest.mark.parametrize("shape", [(2, 8, 8), (2, 3, 8, 8), (2, 1, 16, 16)])
def test_images_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match=r"must be uint8 of shape \(N, 1, 8, 8\)"):
        features(_bundled(), np.zeros(shape, np.uint8))


def test_training_repeats_to_the_bit_and_follows_the_seed() -> None:
    before = torch.get_rng_state()
    data = load_digits_images("train")
    first, again, other = (
        train_classifier(DIGITS, *data, seed=seed, num_steps=20) for seed in (3, 3, 4)
    )
    assert torch.equal(before, torch.get_rng_state())  # nobody else's random numbers move
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    assert not torch.equal(first.head.weight, other.head.weight)
