"""How the digit classifier is fitted: a minute on one core."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample

_BATCH = 100
_PEAK_RATE = 2e-3
_LABEL_SMOOTHING = 0.05
# Augmentation; the images are 8 pixels wide, so 0.15 of the half width is 0.6 pixels.
_MAX_SHIFT = 0.15
_MAX_TURN = 0.25  # radians
_MAX_ZOOM = 0.12
_NOISE = 0.05  # half a grey level of the source


def fit_digit_classifier(model: nn.Module, x: Tensor, labels: Tensor, num_steps: int) -> None:
    """Fit to images (N, 1, 8, 8) in [-1, 1], drawing from the global generator."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=_PEAK_RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * step / num_steps))
    )
    for _ in range(num_steps):
        rows = torch.randint(len(x), (_BATCH,))
        predicted = model(move_digits(x[rows]))[1]
        loss = cross_entropy(predicted, labels[rows], label_smoothing=_LABEL_SMOOTHING)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def move_digits(x: Tensor, *, strength: float = 1.0) -> Tensor:
    """Shift, turn and scale a little, and add noise; the border stays background."""
    shift, turn, zoom = (2 * torch.rand(3, len(x)) - 1) * torch.tensor(
        [[strength * _MAX_SHIFT], [strength * _MAX_TURN], [strength * _MAX_ZOOM]]
    )
    shift_y = (2 * torch.rand(len(x)) - 1) * (strength * _MAX_SHIFT)
    cos, sin = (1 + zoom) * turn.cos(), (1 + zoom) * turn.sin()
    rows = [torch.stack([cos, -sin, shift], 1), torch.stack([sin, cos, shift_y], 1)]
    grid = affine_grid(torch.stack(rows, 1), list(x.shape), align_corners=False)
    moved = grid_sample(x + 1, grid, align_corners=False) - 1  # outside reads 0: background -1
    return moved + strength * _NOISE * torch.randn_like(moved)
