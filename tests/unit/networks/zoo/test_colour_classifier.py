"""The classifier of colour photographs: its layers, its augmentation, its fitting."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

from fewstep.networks.zoo.cifar10_recipe import CIFAR10, CIFAR10_16
from fewstep.networks.zoo.classifier import (
    ImageClassifier,
    evaluate,
    load_classifier,
    make_classifier,
    to_network_range,
)
from fewstep.networks.zoo.classifier_training import accuracy
from fewstep.networks.zoo.colour_classifier import colour_trunk
from fewstep.networks.zoo.colour_classifier_training import (
    fit_colour_classifier,
    mirror_and_shift,
)
from fewstep.networks.zoo.data import Images, Labels
from fewstep.networks.zoo.recipe import CLASSIFIER_FILE, Recipe
from fewstep.networks.zoo.weights_file import save_tensors

_RECIPES = pytest.mark.parametrize("recipe", [CIFAR10_16, CIFAR10], ids=lambda recipe: recipe.model)
_WIDTHS = (12, 24)
_CLASS_OF_ANGLE = np.array([0, 1, 2, 1])  # a mirror swaps the diagonals: one class
_CLASSES = 3
_MAX_BYTES = 4_000_000


def _gratings(count: int, *, side: int = 16, seed: int = 0) -> tuple[Images, Labels]:
    """Noisy stripes of random colour and phase: upright, level, or along either diagonal."""
    random = np.random.default_rng(seed)
    angles = random.integers(4, size=(count, 1, 1))
    rows, columns = np.mgrid[:side, :side]
    along = np.cos(np.pi / 4 * angles) * rows + np.sin(np.pi / 4 * angles) * columns
    waves = np.sin(2 * np.pi / 5 * along + random.uniform(0, 2 * np.pi, (count, 1, 1)))
    noise = random.normal(0, 0.7, (count, 3, side, side))
    coloured = random.uniform(0.3, 1, (count, 3, 1, 1)) * waves[:, None] + noise
    return (127.5 + 50 * coloured).clip(0, 255).astype(np.uint8), _CLASS_OF_ANGLE[angles[:, 0, 0]]


def _small_model() -> ImageClassifier:
    return ImageClassifier(
        colour_trunk(_WIDTHS, 16), num_features=16, num_classes=_CLASSES, image_shape=(3, 16, 16)
    )


def _fitted(seed: int, x: Tensor, labels: Tensor, num_steps: int) -> ImageClassifier:
    torch.manual_seed(seed)
    model = _small_model().train()
    fit_colour_classifier(model, x, labels, num_steps)
    return model.eval()


@pytest.fixture(scope="module")
def trained() -> ImageClassifier:
    images, labels = _gratings(1024)
    return _fitted(0, to_network_range(torch.from_numpy(images)), torch.from_numpy(labels), 40)


@_RECIPES
def test_trunk_maps_images_to_features_and_logits(recipe: Recipe) -> None:
    features, logits = make_classifier(recipe).eval()(torch.rand(2, *recipe.image_shape) * 2 - 1)
    assert features.shape == (2, recipe.classifier.num_features)
    assert logits.shape == (2, recipe.num_classes)


def test_each_level_after_the_first_halves_the_side() -> None:
    sides: list[int] = []
    trunk = colour_trunk((4, 6, 8), 5)
    for layer in trunk.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(lambda _, __, out: sides.append(out.shape[-1]))
    trunk(torch.zeros(2, 3, 32, 32))
    assert sides == [32, 32, 16, 16, 8, 8]


def test_fitting_repeats_to_the_bit_and_follows_the_seed() -> None:
    x, labels = torch.rand(300, 3, 16, 16) * 2 - 1, torch.randint(_CLASSES, (300,))
    first, again, other = (_fitted(seed, x, labels, 4) for seed in (3, 3, 4))
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert not torch.equal(first.head.weight, other.head.weight)


def test_fitting_leaves_images_as_they_were() -> None:
    x, labels = torch.rand(256, 3, 16, 16) * 2 - 1, torch.randint(_CLASSES, (256,))
    before = x.clone()
    _fitted(0, x, labels, 1)
    assert torch.equal(x, before)


def test_forty_steps_tell_directions_of_stripes_apart_on_new_images(
    trained: ImageClassifier,
) -> None:
    found = accuracy(trained, *_gratings(500, seed=1))
    assert found >= 0.95, found


def test_features_are_finite_and_do_not_depend_on_the_batch(trained: ImageClassifier) -> None:
    images, _ = _gratings(64, seed=2)
    together = evaluate(trained, images)[0]
    alone = torch.cat([evaluate(trained, images[i : i + 1])[0] for i in range(8)])
    assert torch.isfinite(together).all()
    torch.testing.assert_close(together[:8], alone, rtol=1e-4, atol=1e-5)


def test_one_grey_level_moves_features_little(trained: ImageClassifier) -> None:
    images, _ = _gratings(256, seed=3)
    nearby = np.where(images > 127, images - 1, images + 1).astype(np.uint8)
    features = evaluate(trained, images)[0]
    moved = (evaluate(trained, nearby)[0] - features).norm(dim=1).max()
    between = (features[1:] - features[:-1]).norm(dim=1).median()
    assert moved < 0.1 * between, (float(moved), float(between))


@_RECIPES
def test_a_file_in_half_precision_is_small_and_predicts_the_same(
    recipe: Recipe, tmp_path: Path
) -> None:
    model, images = _normalized(recipe)
    weights = {name: value.half() for name, value in model.state_dict().items()}
    save_tensors(weights, tmp_path / CLASSIFIER_FILE)
    size = (tmp_path / CLASSIFIER_FILE).stat().st_size
    assert size < _MAX_BYTES, size
    reloaded = load_classifier(recipe, tmp_path)
    pairs = zip(evaluate(model, images), evaluate(reloaded, images), strict=True)
    for exact, rounded in pairs:
        moved = (rounded - exact).norm(dim=1) / (exact - exact.mean(0)).norm(dim=1)
        assert moved.max() < 0.1, float(moved.max())


def _normalized(recipe: Recipe) -> tuple[ImageClassifier, Images]:
    """An untrained classifier whose running statistics are of the images that come with it."""
    torch.manual_seed(0)
    model = make_classifier(recipe)
    images, _ = _gratings(8, side=recipe.image_shape[-1])
    with torch.no_grad():
        for _ in range(15):
            model(to_network_range(torch.from_numpy(images)))
    return model.eval(), images


@pytest.mark.parametrize(("side", "most"), [(8, 0), (16, 1), (32, 2)])
def test_half_is_mirrored_and_shifts_stay_within_a_sixteenth_of_the_side(
    side: int, most: int
) -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 3, side, side).repeat(400, 1, 1, 1)
    moved = mirror_and_shift(x)
    assert moved.shape == x.shape
    counts = {key: int((moved == image).all((1, 2, 3)).sum()) for key, image in _moves(x, most)}
    assert sum(counts.values()) == len(x), counts  # each is one of these, whole
    assert min(counts.values()) > 0, counts
    mirrored = sum(count for (flip, _, _), count in counts.items() if flip)
    assert 160 <= mirrored <= 240, counts  # four standard deviations around half


def _moves(x: Tensor, most: int) -> Iterator[tuple[tuple[bool, int, int], Tensor]]:
    side, padded = x.shape[-1], pad(x[:1], (most,) * 4, mode="reflect")[0]
    for down, right in product(range(2 * most + 1), repeat=2):
        image = padded[:, down : down + side, right : right + side]
        yield (False, down, right), image
        yield (True, down, right), image.flip(2)


def test_images_move_independently_and_keep_their_pixels() -> None:
    torch.manual_seed(0)
    x = torch.arange(64.0)[:, None, None, None].expand(64, 3, 16, 16)
    assert torch.equal(mirror_and_shift(x), x)  # nothing comes from another image
    gradient = torch.linspace(-1, 1, 16).expand(64, 3, 16, 16)
    moved = mirror_and_shift(gradient)
    assert moved.min() == -1
    assert moved.max() == 1
    assert len(torch.unique(moved[:, 0, 0, :2], dim=0)) == 6  # three shifts, mirrored or not
