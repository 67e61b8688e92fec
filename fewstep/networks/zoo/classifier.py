"""Classifiers of a model's own images, whose penultimate activations are its features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from fewstep.errors import InvalidInput
from fewstep.networks.zoo.data import Images
from fewstep.networks.zoo.recipe import CLASSIFIER_FILE, Recipe

_BATCH = 512


class ImageClassifier(nn.Module):
    """A trunk that ends in features, and a linear layer on them, for (B, C, H, W) in [-1, 1].

    `feature_scale` gives features a mean variance of one over the training images; a Frechet
    distance then does not depend on the weight decay of the training.

    Args:
        trunk: maps images to features (B, num_features).
        num_features: their width.
        num_classes: number of classes.
        image_shape: channels, height, width.
    """

    feature_scale: Tensor

    def __init__(
        self,
        trunk: nn.Module,
        *,
        num_features: int,
        num_classes: int,
        image_shape: tuple[int, int, int],
    ) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.trunk = trunk
        self.head = nn.Linear(num_features, num_classes)
        self.register_buffer("feature_scale", torch.ones(()))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, num_features) and logits (B, num_classes)."""
        hidden: Tensor = self.trunk(x)
        return hidden * self.feature_scale, self.head(hidden)


def make_classifier(recipe: Recipe) -> ImageClassifier:
    """An untrained classifier of a recipe's images, its weights drawn from the global generator."""
    from fewstep.networks.zoo.colour_classifier import colour_trunk
    from fewstep.networks.zoo.digits_classifier import digit_trunk

    layers = recipe.classifier
    return ImageClassifier(
        digit_trunk(layers.num_features)
        if layers.kind == "digit"
        else colour_trunk(layers.widths, layers.num_features),
        num_features=layers.num_features,
        num_classes=recipe.num_classes,
        image_shape=recipe.image_shape,
    )


def load_classifier(recipe: Recipe, folder: Path | None = None) -> ImageClassifier:
    """The classifier that lies in a folder, the bundled one's by default, ready to evaluate."""
    path = (recipe.folder if folder is None else folder) / CLASSIFIER_FILE
    with torch.random.fork_rng(devices=[]):  # the weights it draws first are nobody's randomness
        model = make_classifier(recipe)
    # Files may hold half precision; `load_state_dict` copies into float32.
    model.load_state_dict(load_file(path), strict=True)
    return model.eval()


def to_network_range(images: Tensor) -> Tensor:
    """Map 0..255 to float32 in [-1, 1]."""
    return images.float() / 127.5 - 1


@torch.inference_mode()
def evaluate(model: ImageClassifier, images: Images) -> tuple[Tensor, Tensor]:
    """Features (N, num_features) and logits (N, num_classes) of images (N, C, H, W) of 0..255.

    Raises:
        InvalidInput: images of another shape or type.
    """
    if images.dtype != np.uint8 or images.shape[1:] != model.image_shape:
        raise InvalidInput(
            f"images of shape {images.shape} and type {images.dtype}: "
            f"must be uint8 of shape (N, {', '.join(map(str, model.image_shape))})",
            field="images",
        )
    chunks = torch.from_numpy(np.ascontiguousarray(images)).split(_BATCH)
    pairs = [model(to_network_range(chunk)) for chunk in chunks]
    return torch.cat([pair[0] for pair in pairs]), torch.cat([pair[1] for pair in pairs])
