"""The start of layers that end a residual branch."""

from __future__ import annotations

from torch import nn


def start_at_zero(layer: nn.Conv1d | nn.Conv2d) -> nn.Conv1d | nn.Conv2d:
    """Zero a layer in place and hand it back: its branch then starts by adding nothing."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
