"""The real images behind a bundled model, with their features."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt
import torch

from evaluators.features import Extractor
from fewstep.networks.zoo.data import Images, Labels, Split
from fewstep.networks.zoo.recipe import Recipe

NUM_HALVINGS = 4  # random pairs of disjoint sets
_HALVING_SEED = 7
_BATCH = 256

Array = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RealImages:
    """Images, labels and features of every split.

    Attributes:
        images: (N, C, H, W) uint8 per split.
        labels: (N,) per split.
        features: (N, d) float32 per split.
    """

    images: dict[Split, Images]
    labels: dict[Split, Labels]
    features: dict[Split, Array]

    def halvings(self, count: int) -> list[tuple[Rows, Rows]]:
        """Random disjoint pairs of `count` images at most, as rows of the split "all".

        Classes occur in equal numbers, as they do in samples: halves with classes in random numbers
        would be farther apart, and the floor too high.
        """
        rng, labels = np.random.default_rng(_HALVING_SEED), self.labels["all"]
        classes = np.unique(labels)
        pairs = []
        for _ in range(NUM_HALVINGS):
            orders = [rng.permutation(np.flatnonzero(labels == label)) for label in classes]
            sizes = [min(len(order) // 2, count // len(classes)) for order in orders]
            pairs.append(
                (
                    np.concatenate([o[:size] for o, size in zip(orders, sizes, strict=True)]),
                    np.concatenate(
                        [o[size : 2 * size] for o, size in zip(orders, sizes, strict=True)]
                    ),
                )
            )
        return pairs


def load_real_images(recipe: Recipe, extractor: Extractor, data: Path | None) -> RealImages:
    """Load every split; `data` is the archive of images that are not bundled."""
    splits: tuple[Split, ...] = get_args(Split)
    sets = {split: recipe.load(data, split) for split in splits}
    return RealImages(
        images={split: images for split, (images, _) in sets.items()},
        labels={split: labels for split, (_, labels) in sets.items()},
        features={split: _features(extractor, images) for split, (images, _) in sets.items()},
    )


@torch.inference_mode()
def _features(extractor: Extractor, images: Images) -> Array:
    parts = torch.from_numpy(images).split(_BATCH)
    found: Array = torch.cat([extractor.features(part) for part in parts]).numpy()
    return found
