"""Checks of the labels that guidance aims at."""

from __future__ import annotations

import torch
from torch import Tensor

from fewstep.errors import InvalidInput
from fewstep.guidance.conditional import outside_inference_mode


def check_labels(labels: Tensor) -> Tensor:
    """Labels (B,) as they can be used in a gradient.

    Raises:
        InvalidInput: they are no vector of whole numbers, or one is negative.
    """
    if labels.dim() != 1 or labels.dtype not in (torch.int32, torch.int64) or not len(labels):
        raise InvalidInput(
            f"labels: shape {tuple(labels.shape)} of {labels.dtype}; allowed: (B,) whole numbers",
            field="labels",
        )
    lowest = int(labels.argmin())
    if labels[lowest] < 0:
        raise InvalidInput(
            f"labels[{lowest}]={int(labels[lowest])}: no such class; allowed: 0 and more",
            field=f"labels[{lowest}]",
        )
    return outside_inference_mode(labels.long())


def check_below(labels: Tensor, num_classes: int) -> None:
    """Refuse labels that are no class.

    Raises:
        InvalidInput: the largest label is `num_classes` or more.
    """
    largest = int(labels.argmax())
    if labels[largest] >= num_classes:
        raise InvalidInput(
            f"labels[{largest}]={int(labels[largest])}: no such class; allowed: 0 to "
            f"{num_classes - 1}",
            field=f"labels[{largest}]",
        )
