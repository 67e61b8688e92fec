"""Feature extractors: networks that turn 8-bit images into the vectors distances are measured on.

A model card names its extractor. What an extractor is called in keys and files is its identity: the
name, and a checksum of its weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from evaluators.checksum import file_sha256
from fewstep.canonical import content_hash
from fewstep.errors import InvalidInput
from fewstep.networks.zoo.recipe import CLASSIFIER_FILE, Recipe
from fewstep.networks.zoo.recipes import RECIPES
from fewstep.registry import Registry

if TYPE_CHECKING:  # this file is imported where torch must not be
    from torch import Tensor


class Extractor(Protocol):
    """A loaded extractor."""

    def features(self, images: Tensor) -> Tensor:
        """Features (N, d) float32 of uint8 images (N, C, H, W)."""
        ...

    def logits(self, images: Tensor) -> Tensor:
        """Class scores (N, classes) float32 of uint8 images, for the inception score."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractorEntry:
    """A registered extractor: how to identify it without loading, and how to load it."""

    sha256: Callable[[], str]
    load: Callable[[str], Extractor]  # takes the device


EXTRACTORS: Registry[ExtractorEntry] = Registry("extractor")


def extractor_identity(name: str) -> str:
    """The extractor's name with a checksum of its weights; does not load it.

    Raises:
        UnknownName: no such extractor.
    """
    return f"{name}@{EXTRACTORS.get(name, field='extractor').sha256()[:16]}"


def load_extractor(name: str, *, device: str = "cpu") -> Extractor:
    """Load an extractor onto a device.

    Raises:
        UnknownName: no such extractor.
    """
    return EXTRACTORS.get(name, field="extractor").load(device)


def to_uint8(images: Tensor) -> Tensor:
    """Images in [-1, 1] as 8 bits: rounded to the nearest of 256 levels, limited to the range."""
    import torch

    return ((images + 1.0) * 127.5).round().clamp(0.0, 255.0).to(torch.uint8)


class _ZooClassifier:
    """The classifier of a bundled model."""

    def __init__(self, recipe: Recipe, device: str) -> None:
        from fewstep.networks.zoo.classifier import load_classifier

        self._model = load_classifier(recipe).to(device)

    def features(self, images: Tensor) -> Tensor:
        """Its penultimate activations."""
        return self._layers(images)[0]

    def logits(self, images: Tensor) -> Tensor:
        """Its class scores."""
        return self._layers(images)[1]

    def _layers(self, images: Tensor) -> tuple[Tensor, Tensor]:
        from fewstep.networks.zoo.classifier import to_network_range

        layers: tuple[Tensor, Tensor] = self._model(to_network_range(images))
        return layers


class _Pixels:
    """No network: the pixels themselves, for tiny images and for trying a model without one."""

    def __init__(self, device: str) -> None:
        self._device = device

    def features(self, images: Tensor) -> Tensor:
        """The pixels in [0, 1], as a vector."""
        return images.to(self._device).flatten(1).float() / 255.0

    def logits(self, images: Tensor) -> Tensor:
        """Refused: pixels know no classes."""
        raise InvalidInput(
            f"extractor='pixels': has no class scores for {len(images)} images; "
            f"the inception score needs another extractor",
            field="extractor",
        )


for _recipe in RECIPES.values():
    _weights = _recipe.folder / CLASSIFIER_FILE
    if _weights.exists():  # not every recipe's weights are bundled
        EXTRACTORS.register(
            _recipe.extractor,
            ExtractorEntry(
                sha256=partial(file_sha256, _weights), load=partial(_ZooClassifier, _recipe)
            ),
        )
# It has no weights: its version stands for them.
EXTRACTORS.register("pixels", ExtractorEntry(sha256=lambda: content_hash("pixels 1"), load=_Pixels))
