"""How much each unit matters, by how the network's output on the trajectory changes without it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from fewstep.networks.pruning.blocks import PrunableBlock, adm_blocks
from fewstep.networks.pruning.importance import Scores, channels_by_unit
from fewstep.networks.pruning.least_squares import Indices
from fewstep.networks.pruning.moments import FloatArray
from fewstep.networks.pruning.output_probe import OutputProbe
from fewstep.networks.pruning.slicing import end_of_body


def output_sensitivity(probe: OutputProbe) -> Scores:
    """The change of the output without one unit at a time, nothing refitted.

    Costs one forward for each unit. Nothing reads a unit whose columns in the last layer are zero,
    which is cutting it, but cheaper to make. Single channels are not scored: to cut them changes
    the norm of those left.
    """
    return {block.name: _of_units(probe, block) for block in adm_blocks(probe.network.config)}


def _of_units(probe: OutputProbe, block: PrunableBlock) -> FloatArray:
    end, scores = probe.network.get_submodule(end_of_body(block)), []
    for channels in channels_by_unit(block, "units"):
        with _silenced(end, channels):
            scores.append(probe.change(probe.network))
    return np.array(scores)


@contextmanager
def _silenced(layer: nn.Module, channels: Indices) -> Iterator[None]:
    """A layer that does not read some channels; its own weight comes back afterwards."""
    weight = layer.get_parameter("weight")
    columns = torch.from_numpy(channels).to(weight.device)
    layer.weight = nn.Parameter(weight.detach().index_fill(1, columns, 0.0), requires_grad=False)
    try:
        yield
    finally:
        layer.weight = weight
