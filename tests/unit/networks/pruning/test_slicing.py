"""Cutting changes what it says and nothing else, on networks of both libraries, in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fewstep.errors import InvalidInput
from fewstep.networks.adm.unet import UNet
from fewstep.networks.models import load_network, resolve
from fewstep.networks.pruning.blocks import PrunableBlock, adm_blocks
from fewstep.networks.pruning.configuration import (
    BlockChoice,
    NetworkConfiguration,
    kept_channels,
)
from fewstep.networks.pruning.macs import adm_macs
from fewstep.networks.pruning.slicing import sliced
from tests.unit.networks.pruning.cases import NAMES, Case, case, outward, parts, weight
from tests.unit.networks.pruning.drawn import configurations

EXACT = 1e-12  # of outputs of order 1
WITH_HEADS = [name for name in NAMES if case(name).of_kind("attention")]


def distance(one: Tensor, other: Tensor) -> float:
    """Largest difference, in units of the outputs' spread."""
    return float((one - other).abs().max() / other.std())


def with_zeroed(
    problem: Case, choices: dict[str, BlockChoice], *, and_bias: bool = False
) -> nn.Module:
    """The full network, in which nothing reads the channels that would be cut."""
    network = copy.deepcopy(problem.network)
    blocks = {block.name: block for block in problem.blocks}
    for name, choice in choices.items():
        lost = sorted(set(range(blocks[name].width)) - set(kept_channels(blocks[name], choice)))
        reader = outward(network.get_submodule(name))
        assert isinstance(reader, nn.Conv1d | nn.Conv2d | nn.Linear)
        with torch.no_grad():
            reader.weight[:, lost] = 0.0
            if and_bias and reader.bias is not None:
                reader.bias.zero_()
    return network


def permuted(problem: Case, order_of: Callable[[PrunableBlock], list[int]]) -> nn.Module:
    """The full network with the inner channels of all residual blocks in another order."""
    network = copy.deepcopy(problem.network)
    for block in problem.of_kind("residual"):
        order = torch.tensor(order_of(block))
        layers = parts(network.get_submodule(block.name))
        halves = weight(layers["embed"]).shape[0] // block.width
        rows = torch.cat([half * block.width + order for half in range(halves)])
        with torch.no_grad():
            for role, index in (("into", order), ("embed", rows), ("norm", order)):
                layer = layers[role]
                for tensor in (weight(layer), weight(layer, "bias")):
                    tensor.copy_(tensor[index].clone())
            weight(layers["out"]).copy_(weight(layers["out"])[:, order].clone())
    return network


def _groups_and_channels_within(block: PrunableBlock) -> list[int]:
    """Groups backwards, and the channels of each turned by one."""
    width = block.unit_width
    return [g * width + (i + 1) % width for g in reversed(range(block.units)) for i in range(width)]


def _across_groups(block: PrunableBlock) -> list[int]:
    """Every channel into the next group."""
    return [(i * block.unit_width + i // block.units) % block.width for i in range(block.width)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_the_identity_is_bit_identical(name: str, dtype: torch.dtype) -> None:
    problem = case(name, dtype)
    assert torch.equal(problem.run(problem.cut({})), problem.run())
    assert problem.run().std() > 0.1


@pytest.mark.parametrize("name", NAMES)
def test_order_of_groups_and_within_groups_is_free(name: str) -> None:
    problem = case(name)
    assert distance(problem.run(permuted(problem, _groups_and_channels_within)), problem.run()) < (
        EXACT
    )


@pytest.mark.parametrize("name", NAMES)
def test_order_across_groups_is_not_free(name: str) -> None:
    problem = case(name)
    assert sorted(_across_groups(problem.of_kind("residual")[0])) == list(range(16))
    assert distance(problem.run(permuted(problem, _across_groups)), problem.run()) > 1e-2


@pytest.mark.parametrize("name", NAMES)
def test_cutting_whole_groups_is_zeroing_the_columns_that_read_them(name: str) -> None:
    problem = case(name)
    kept = [(0, 2), (1, 3), (1,), (0, 1, 3)]
    choices = {
        block.name: BlockChoice("groups", kept[i % len(kept)])
        for i, block in enumerate(problem.of_kind("residual"))
    }
    cut = problem.run(problem.cut(choices))
    assert distance(cut, problem.run(with_zeroed(problem, choices))) < EXACT
    assert distance(cut, problem.run()) > 1e-2


@pytest.mark.parametrize("name", NAMES)
def test_cutting_some_channels_of_each_group_changes_what_is_left(name: str) -> None:
    problem = case(name)
    choices = {
        block.name: BlockChoice("channels", tuple(range(0, block.width, 2)))
        for block in problem.of_kind("residual")
    }
    zeroed = problem.run(with_zeroed(problem, choices))
    assert distance(problem.run(problem.cut(choices)), zeroed) > 1e-2


@pytest.mark.parametrize("name", WITH_HEADS)
def test_cutting_heads_is_zeroing_the_columns_that_read_them(name: str) -> None:
    problem = case(name)
    choices = {
        block.name: BlockChoice("heads", (1, 3)[: 1 + i % 2])
        for i, block in enumerate(problem.of_kind("attention"))
    }
    cut = problem.run(problem.cut(choices))
    assert distance(cut, problem.run(with_zeroed(problem, choices))) < EXACT
    assert distance(cut, problem.run()) > 1e-2


def test_cutting_hidden_units_is_zeroing_the_columns_that_read_them() -> None:
    problem = case("diffusers-condition")
    choices = {
        block.name: BlockChoice("hidden", tuple(range(0, block.width, 3)))
        for block in problem.of_kind("feed-forward")
    }
    cut = problem.run(problem.cut(choices))
    assert len(choices) == 4
    assert distance(cut, problem.run(with_zeroed(problem, choices))) < EXACT
    assert distance(cut, problem.run()) > 1e-2


@pytest.mark.parametrize("name", NAMES)
def test_a_removed_body_is_one_that_puts_out_zero(name: str) -> None:
    problem = case(name)
    for chosen in (problem.blocks, problem.blocks[::2], problem.blocks[1::2]):
        choices = {block.name: BlockChoice("removed") for block in chosen}
        zeroed = with_zeroed(problem, choices, and_bias=True)
        assert distance(problem.run(problem.cut(choices)), problem.run(zeroed)) < EXACT


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=8)
@given(drawn=st.data())
def test_every_legal_configuration_runs_and_keeps_the_shape(
    name: str, drawn: st.DataObject
) -> None:
    problem = case(name, torch.float32)
    configuration = drawn.draw(configurations(problem.blocks))
    predicted = problem.run(problem.cut(dict(configuration.choices)))
    assert predicted.shape == problem.inputs[0].shape
    assert predicted.isfinite().all()


def _pointers(network: nn.Module) -> dict[str, int]:
    return {name: value.data_ptr() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_cut_is_shared_and_the_original_is_not_touched(name: str) -> None:
    problem = case(name)
    before = {key: value.clone() for key, value in problem.network.state_dict().items()}
    block, other = problem.of_kind("residual")[:2]
    smaller = problem.cut({block.name: BlockChoice("groups", (1, 2))})
    ours, theirs = _pointers(smaller), _pointers(problem.network)
    assert list(ours) == list(theirs)
    apart = {key for key in ours if ours[key] != theirs[key]}
    assert apart
    assert all(key.startswith(block.name) for key in apart)
    assert not any(key.startswith(other.name) for key in apart)
    layers = parts(smaller.get_submodule(block.name))
    full = parts(problem.network.get_submodule(block.name))
    storage = weight(full["into"]).untyped_storage().data_ptr()
    assert weight(layers["into"]).untyped_storage().data_ptr() == storage  # rows: a view
    assert weight(layers["out"]).untyped_storage().nbytes() < (
        weight(full["out"]).untyped_storage().nbytes()
    )
    with torch.no_grad():
        weight(layers["out"]).zero_()
    smaller.requires_grad_(False).float()
    after = problem.network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert all(parameter.requires_grad for parameter in problem.network.parameters())


def test_cutting_draws_no_random_numbers() -> None:
    problem = case("adm")
    state = torch.get_rng_state()
    problem.cut({block.name: BlockChoice("groups", (0,)) for block in problem.of_kind("residual")})
    assert torch.equal(torch.get_rng_state(), state)


def test_tensors_are_really_smaller() -> None:
    problem = case("adm-updown")
    network = problem.cut(
        {
            "input_blocks.1.0": BlockChoice("groups", (0, 3)),
            "input_blocks.3.1": BlockChoice("heads", (2,)),
            "middle_block.0": BlockChoice("removed"),
            "output_blocks.0.0": BlockChoice("channels", (0, 9, 16, 31)),
        }
    )
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert shapes["input_blocks.1.0.in_layers.2.weight"] == (8, 16, 3, 3)
    assert shapes["input_blocks.1.0.emb_layers.1.weight"] == (16, 64)  # scales and shifts
    assert shapes["input_blocks.1.0.out_layers.0.weight"] == (8,)
    assert shapes["input_blocks.1.0.out_layers.3.weight"] == (16, 8, 3, 3)
    assert shapes["input_blocks.3.1.qkv.weight"] == (24, 32, 1)
    assert shapes["input_blocks.3.1.proj_out.weight"] == (32, 8, 1)
    assert not [name for name in shapes if name.startswith("middle_block.0")]
    assert shapes["output_blocks.0.0.in_layers.2.weight"] == (4, 64, 3, 3)
    assert shapes["output_blocks.0.0.skip_connection.weight"] == (32, 64, 1, 1)
    sizes = []
    for name in ("input_blocks.1.0", "output_blocks.0.0"):
        norm = parts(network.get_submodule(name))["norm"]
        assert isinstance(norm, nn.GroupNorm)
        sizes.append((norm.num_groups, norm.num_channels))
    assert sizes == [(2, 8), (4, 4)]


def test_the_bundled_network_is_cut_as_it_is_loaded() -> None:
    network = load_network(resolve("zoo:digits"))
    assert isinstance(network, UNet)
    block = adm_blocks(network.config)[0]
    kept = NetworkConfiguration.of({block.name: BlockChoice("groups", (0, 2, 5))})
    smaller = sliced(network, kept)
    assert not any(parameter.requires_grad for parameter in smaller.parameters())
    assert not any(module.training for module in smaller.modules())
    cost = adm_macs(network.config, kept, 8).total
    assert cost.parameters == sum(parameter.numel() for parameter in smaller.parameters())
    x, t, labels = torch.zeros(2, 1, 8, 8), torch.tensor([3.0, 900.0]), torch.tensor([0, 7])
    assert (smaller(x, t, labels) - network(x, t, labels)).abs().max() > 1e-3


def test_a_network_that_was_cut_is_not_cut_again() -> None:
    problem = case("adm")
    smaller = problem.cut({"input_blocks.1.0": BlockChoice("groups", (0,))})
    assert isinstance(smaller, UNet)
    with pytest.raises(InvalidInput, match="cut before") as caught:
        sliced(smaller, NetworkConfiguration())
    assert caught.value.field == "network"


def test_a_configuration_of_another_network_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"configuration\.mid_block\.resnets\.0=unknown block"):
        case("adm").cut({"mid_block.resnets.0": BlockChoice("removed")})
