"""Equal counts per group against torch-pruning, which traces what hangs together by itself."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from torch import nn

from fewstep.networks.pruning.configuration import BlockChoice
from tests.unit.networks.pruning.cases import Case, case, weight


def _by_torch_pruning(problem: Case, kept: dict[str, tuple[int, ...]]) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs
        import torch_pruning

        network = copy.deepcopy(problem.network)
        graph = torch_pruning.DependencyGraph().build_dependency(network, problem.inputs)
        for name, channels in kept.items():
            conv = network.get_submodule(f"{name}.conv1")
            lost = sorted(set(range(weight(conv).shape[0])) - set(channels))
            group = graph.get_pruning_group(conv, torch_pruning.prune_conv_out_channels, idxs=lost)
            assert graph.check_pruning_group(group)
            group.prune()
    return network


@pytest.mark.parametrize("name", ["diffusers-2d", "diffusers-2d-scale-shift"])
def test_torch_pruning_makes_the_same_network_of_the_same_channels(name: str) -> None:
    problem = case(name)
    kept = {
        block.name: tuple(
            group * block.unit_width + (group + i) % block.unit_width
            for group in range(block.units)
            for i in range(block.unit_width // 2)
        )
        for block in problem.of_kind("residual")
    }
    kept = {name: tuple(sorted(channels)) for name, channels in kept.items()}
    ours = problem.cut({name: BlockChoice("channels", channels) for name, channels in kept.items()})
    theirs = _by_torch_pruning(problem, kept)
    shapes = [
        {key: tuple(value.shape) for key, value in network.state_dict().items()}
        for network in (ours, theirs)
    ]
    assert shapes[0] == shapes[1]
    difference = (problem.run(ours) - problem.run(theirs)).abs().max()
    assert difference < 1e-12
    assert (problem.run(ours) - problem.run()).abs().max() > 1e-2
    assert torch.is_grad_enabled()
