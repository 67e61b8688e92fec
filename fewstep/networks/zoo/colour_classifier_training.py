"""How the classifier of colour photographs is fitted: minutes on one core at 16x16."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

_BATCH = 128
_PEAK_RATE = 0.2
_WARMUP = 0.2  # share of all steps
_MOMENTUM = 0.9
_WEIGHT_DECAY = 5e-4
_LABEL_SMOOTHING = 0.1
_SIDES_PER_PIXEL = 16  # an image of this side is shifted by up to one pixel, one of twice by two


def fit_colour_classifier(model: nn.Module, x: Tensor, labels: Tensor, num_steps: int) -> None:
    """Fit to images (N, 3, H, W) in [-1, 1], drawing from the global generator of the CPU.

    Every image is seen once before any is seen again. The learning rate rises and falls in one
    cycle. Ref: Smith and Topin 2018, "Super-convergence", section 3.
    """
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=_PEAK_RATE,
        momentum=_MOMENTUM,
        weight_decay=_WEIGHT_DECAY,
        nesterov=True,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _one_cycle((step + 1) / (num_steps + 1))
    )
    for rows in _passes(len(x), num_steps):
        chosen = rows.to(x.device)
        # Channels last: the layout in which half-precision convolutions are quickest.
        moved = mirror_and_shift(x[chosen]).contiguous(memory_format=torch.channels_last)
        with torch.autocast(x.device.type, torch.bfloat16):
            logits = model(moved)[1]
        loss = cross_entropy(logits.float(), labels[chosen], label_smoothing=_LABEL_SMOOTHING)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def mirror_and_shift(x: Tensor) -> Tensor:
    """Mirror half of the images (B, C, H, W) left to right and shift each, drawn independently.

    Shifts are whole pixels, up to a sixteenth of the side each way; the border is reflected.
    Draws are from the global generator of the CPU, wherever the images are.
    """
    count, _, height, width = x.shape
    rows = _shifted(count, height).to(x.device)
    columns = _shifted(count, width).to(x.device)
    mirrored = (torch.rand(count) < 0.5).to(x.device)
    columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    images = torch.arange(count, device=x.device)[:, None, None]
    # Indices around a slice put its axis last: (B, H, W, C).
    return x[images, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _shifted(count: int, side: int) -> Tensor:
    """Which row of an image each row of its shifted copy shows, (count, side)."""
    most = side // _SIDES_PER_PIXEL
    start = torch.randint(-most, most + 1, (count, 1))
    inside = (start + torch.arange(side)).abs()
    return (side - 1) - ((side - 1) - inside).abs()


def _one_cycle(progress: float) -> float:
    """Share of the peak rate: up in a line, then down in one."""
    return min(progress / _WARMUP, (1 - progress) / (1 - _WARMUP))


def _passes(count: int, num_steps: int) -> Iterator[Tensor]:
    """Batches of row numbers out of one random order of all rows after another."""
    rows = torch.empty(0, dtype=torch.long)
    for _ in range(num_steps):
        while len(rows) < _BATCH:
            rows = torch.cat([rows, torch.randperm(count)])
        yield rows[:_BATCH]
        rows = rows[_BATCH:]
