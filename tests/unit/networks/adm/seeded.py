"""Weights and inputs by formula: the same in any library, so that outputs can be compared."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_SIDE = 8
_BATCH = 2


def fill(network: nn.Module) -> None:
    """Give every tensor of a network values that depend on its place, name and size alone."""
    state = network.state_dict()
    for name in sorted(state):
        value = state[name]
        phase = torch.arange(value.numel(), dtype=torch.float64) * 12.9898 + len(name)
        # Digits of a sine far behind the point: without structure, so that nothing cancels.
        noise = 2 * torch.frac(phase.sin() * 43758.5453).abs() - 1
        scale = 1.5 / max(1, value[0].numel()) ** 0.5 if value.dim() > 1 else 0.3
        is_gain = value.dim() == 1 and name.endswith("weight")
        value.copy_((noise * scale + is_gain).reshape(value.shape).to(value.dtype))


def inputs(in_channels: int, num_classes: int | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """States (B, in_channels, 8, 8), network times (B,) and, with classes, labels (B,)."""
    count = _BATCH * in_channels * _SIDE * _SIDE
    x = torch.cos(torch.arange(count, dtype=torch.float64) * 1.237)
    states = x.reshape(_BATCH, in_channels, _SIDE, _SIDE).float()
    labels = None if num_classes is None else torch.arange(_BATCH) % num_classes
    return states, torch.tensor([3.0, 871.5]), labels
