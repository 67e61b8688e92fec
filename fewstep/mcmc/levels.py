"""Noise levels of a batch whose rows are at different ratios."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fewstep.denoisers import StackedLevel
from fewstep.level import Level
from fewstep.process.base import Process


def stack_levels(levels: Sequence[Level], process: Process, device: torch.device) -> StackedLevel:
    """One row per level."""

    def column(values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64, device=device)

    return StackedLevel(
        t=column([level.t for level in levels]),
        alpha=column([level.alpha for level in levels]),
        sigma=column([level.sigma for level in levels]),
        network_time=column([process.network_time(level.t) for level in levels]),
    )
