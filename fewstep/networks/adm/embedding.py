"""Sinusoidal embedding of the network time."""

from __future__ import annotations

import math

import torch
from torch import Tensor

MAX_PERIOD = 10_000.0  # in network time; fixed in the public checkpoints


def timestep_embedding(timesteps: Tensor, width: int) -> Tensor:
    """Embed network times (B,), fractions allowed, as float32 (B, width): cosines, then sines.

    Ref: Vaswani et al. 2017, section 3.5, in the order of the guided-diffusion checkpoints.
    """
    half = width // 2
    index = torch.arange(half, dtype=torch.float32, device=timesteps.device)
    # Times to 1000 magnify how the exponent is rounded: in the order the checkpoints were trained.
    frequency = torch.exp(-math.log(MAX_PERIOD) * index / half)
    angles = timesteps.float()[:, None] * frequency
    embedding = torch.cat([angles.cos(), angles.sin()], dim=1)
    return torch.nn.functional.pad(embedding, (0, width % 2))
