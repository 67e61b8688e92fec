"""What is known of images in tests of guided sampling."""

from __future__ import annotations

import torch
from torch import Tensor

from fewstep.networks.zoo.classifier import to_network_range
from fewstep.networks.zoo.digits_data import load_digits_images

MODEL = ["--model", "zoo:digits"]


def digits() -> Tensor:
    """Three held-out digits (3, 1, 8, 8)."""
    return to_network_range(torch.from_numpy(load_digits_images("heldout")[0]))[:3].contiguous()


def left_half() -> Tensor:
    """1 in the left half."""
    mask = torch.zeros(8, 8)
    mask[:, :4] = 1.0
    return mask
