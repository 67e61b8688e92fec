"""First-order importance of units: how the training loss would change without them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from fewstep.errors import InvalidInput
from fewstep.networks.adm.unet import UNet
from fewstep.networks.pruning.blocks import adm_blocks
from fewstep.networks.pruning.cutting import shared_copy
from fewstep.networks.pruning.importance import Granularity, Scores, summed_by_unit
from fewstep.networks.pruning.slicing import check_full
from fewstep.process.base import Process

MIN_LOSS_SHARE = 0.05  # tau of the released code of Diff-Pruning


def taylor(
    network: UNet,
    images: Tensor,
    labels: Tensor | None,
    process: Process,
    *,
    times: Sequence[float],
    noise: Tensor,
    min_loss_share: float = MIN_LOSS_SHARE,
    combine: Literal["joint", "each"] = "joint",
    granularity: Granularity = "units",
    micro_batch: int = 64,
) -> Scores:
    """Sum of weight times gradient over all that leaves with a unit, as an absolute value.

    The loss is the mean squared error of predicted noise, summed over times from clean to noisy and
    up to the first at which it falls below `min_loss_share` of the largest so far: that time and
    all noisier ones are left out. Only then are absolute values taken.

    Args:
        network: a full one that predicts noise; it is not touched.
        images: clean ones, (B, C, H, W), in [-1, 1].
        labels: one for each, (B,); None for a network without labels.
        process: it was trained under.
        times: process times, ascending.
        noise: unit normals, shaped like `images`; the same at all times.
        min_loss_share: tau; 0 takes all times.
        combine: "joint": the absolute value of a unit's sum. "each": the sum of absolute values.
        granularity: what a unit is.
        micro_batch: images in one pass, which bounds memory.

    Ref: Fang et al. 2023 (Diff-Pruning), eq. 5 and algorithm 1; Molchanov et al. 2019, eq. 8.

    Raises:
        InvalidInput: the network was cut before, or the times do not ascend.
    """
    check_full(network)
    if not times or any(late <= early for early, late in pairwise(times)):
        raise InvalidInput(
            f"times={list(times)}: allowed: one or more, ascending from clean to noisy",
            field="times",
        )
    problem = _Problem(images, labels, process, noise, micro_batch)
    gradients = _gradients(network, problem, times, min_loss_share)

    def product(name: str, weight: Tensor) -> Tensor:
        value = weight * gradients[name].double()
        return value.abs() if combine == "each" else value

    return {
        block.name: abs(summed_by_unit(network, block, product, granularity))
        for block in adm_blocks(network.config)
    }


@dataclass(frozen=True, slots=True)
class _Problem:
    """What the loss is taken on; as in `taylor`."""

    images: Tensor
    labels: Tensor | None
    process: Process
    noise: Tensor
    micro_batch: int

    def backward(self, network: UNet, time: float) -> float:
        """Leave the gradients of the loss at a time on the network; returns the loss."""
        level, loss = self.process.at(time), 0.0
        for start in range(0, len(self.images), self.micro_batch):
            rows = slice(start, start + self.micro_batch)
            eps = self.noise[rows]
            state = level.alpha * self.images[rows] + level.sigma * eps
            network_time = eps.new_full((len(eps),), self.process.network_time(time))
            labels = None if self.labels is None else self.labels[rows]
            predicted = network(state, network_time, labels)
            part = mse_loss(predicted, eps) * (len(eps) / len(self.images))
            part.backward()
            loss += float(part.detach())
        return loss


def _gradients(
    network: UNet, problem: _Problem, times: Sequence[float], min_loss_share: float
) -> dict[str, Tensor]:
    """Gradients of the summed loss, by name of the tensor."""
    copy = shared_copy(network).eval().requires_grad_(True)
    parameters = dict(copy.named_parameters())
    total = {name: torch.zeros_like(value) for name, value in parameters.items()}
    largest = 0.0
    for time in times:
        copy.zero_grad()
        with torch.enable_grad():
            loss = problem.backward(copy, time)
        largest = max(largest, loss)
        if loss < min_loss_share * largest:
            break
        for name, parameter in parameters.items():
            if parameter.grad is not None:
                total[name] += parameter.grad
    return {name: value.detach() for name, value in total.items()}
