"""The layers of the digit classifier, whose 64 features distances are measured on."""

from __future__ import annotations

from torch import nn


def digit_trunk(num_features: int, *, dropout: float = 0.3) -> nn.Module:
    """Three convolutions and a linear layer on (B, 1, 8, 8) images in [-1, 1].

    Smooth activations and average pooling, so that features move little with small changes of
    an image.
    """
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.SiLU(),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.SiLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(64, 64, 3, padding=1),
        nn.SiLU(),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(64 * 4 * 4, num_features),
        nn.SiLU(),
    )
