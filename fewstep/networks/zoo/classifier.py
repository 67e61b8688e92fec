"""The digit classifier whose 64 penultimate activations are the features of `zoo:digits`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from fewstep.errors import InvalidInput

FEATURE_WIDTH = 64
_BATCH = 512


class DigitClassifier(nn.Module):
    """Three convolutions and two linear layers on (B, 1, 8, 8) images in [-1, 1].

    Smooth activations and average pooling, so that features move little with small changes of
    an image. `feature_scale` gives them a mean variance of one over the training images; a
    Frechet distance then does not depend on the weight decay of the training.
    """

    feature_scale: Tensor

    def __init__(self, num_classes: int = 10, *, dropout: float = 0.3) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.SiLU(),
            nn.AvgPool2d(2),
            nn.Conv2d(64, 64, 3, padding=1),
            nn.SiLU(),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(64 * 4 * 4, FEATURE_WIDTH),
            nn.SiLU(),
        )
        self.head = nn.Linear(FEATURE_WIDTH, num_classes)
        self.register_buffer("feature_scale", torch.ones(()))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, 64) and logits (B, num_classes)."""
        hidden: Tensor = self.trunk(x)
        return hidden * self.feature_scale, self.head(hidden)


def load_classifier(path: Path) -> DigitClassifier:
    """Read a classifier written by the training command, ready to evaluate."""
    model = DigitClassifier()
    model.load_state_dict(load_file(path), strict=True)
    return model.eval()


def features(model: DigitClassifier, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Features (N, 64) of images (N, 1, 8, 8) of 0..255."""
    return _evaluate(model, images)[0]


def logits(model: DigitClassifier, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Class logits (N, num_classes) of images (N, 1, 8, 8) of 0..255."""
    return _evaluate(model, images)[1]


def to_network_range(images: Tensor) -> Tensor:
    """Map 0..255 to float32 in [-1, 1]."""
    return images.float() / 127.5 - 1


@torch.inference_mode()
def _evaluate(
    model: DigitClassifier, images: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    if images.dtype != np.uint8 or images.shape[1:] != (1, 8, 8):
        raise InvalidInput(
            f"images of shape {images.shape} and type {images.dtype}: "
            "must be uint8 of shape (N, 1, 8, 8)",
            field="images",
        )
    chunks = torch.from_numpy(np.ascontiguousarray(images)).split(_BATCH)
    pairs = [model(to_network_range(chunk)) for chunk in chunks]
    found = torch.cat([pair[0] for pair in pairs]), torch.cat([pair[1] for pair in pairs])
    return found[0].numpy(), found[1].numpy()
