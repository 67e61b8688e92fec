"""Blocks and costs of diffusers' UNets: order, what is left alone, and counts from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention, AttnAddedKVProcessor
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fewstep.errors import InvalidInput
from fewstep.networks.pruning.blocks import PrunableBlock
from fewstep.networks.pruning.configuration import BlockChoice, NetworkConfiguration
from fewstep.networks.pruning.diffusers_macs import diffusers_macs
from fewstep.networks.pruning.diffusers_unets import diffusers_blocks, sliced_diffusers
from tests.unit.networks.pruning.cases import NAMES, case
from tests.unit.networks.pruning.drawn import configurations

DIFFUSERS = [name for name in NAMES if name.startswith("diffusers")]
FULL = NetworkConfiguration()


def _small(kind: type[nn.Module], **options: Any) -> nn.Module:
    sizes: dict[str, Any] = {
        "sample_size": 8,
        "in_channels": 2,
        "out_channels": 2,
        "block_out_channels": (16, 32),
        "layers_per_block": 2,
        "norm_num_groups": 4,
        "attention_head_dim": 8,
    }
    return kind(**{**sizes, **options}).eval()


def _condition() -> nn.Module:
    """With two self-attentions on the way down, one in the middle and three on the way up."""
    return _small(
        UNet2DConditionModel,
        cross_attention_dim=12,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )


def _in_order_of_running(network: nn.Module, blocks: tuple[PrunableBlock, ...]) -> Iterator[str]:
    ran: list[str] = []
    for block in blocks:
        network.get_submodule(block.name).register_forward_hook(
            lambda *_, name=block.name: ran.append(name)
        )
    extra = (torch.zeros(1, 4, 12),) if isinstance(network, UNet2DConditionModel) else ()
    with torch.no_grad():
        network(torch.zeros(1, 3, 8, 8), torch.tensor([1]), *extra)
    return iter(ran)


@pytest.mark.parametrize(
    ("down", "up"),
    [
        ("AttnDownBlock2D", "AttnUpBlock2D"),
        ("ResnetDownsampleBlock2D", "ResnetUpsampleBlock2D"),
        ("AttnSkipDownBlock2D", "AttnSkipUpBlock2D"),
        ("CrossAttnDownBlock2D", "CrossAttnUpBlock2D"),
    ],
)
def test_blocks_are_listed_as_they_run(down: str, up: str) -> None:
    options: dict[str, Any] = {"down_block_types": (down, down), "up_block_types": (up, up)}
    # Skip blocks are made for colour images, and have norms of 32 groups.
    options |= {"block_out_channels": (32, 32), "in_channels": 3, "out_channels": 3}
    if "Cross" in down:
        network = _small(UNet2DConditionModel, cross_attention_dim=12, **options)
    else:
        network = _small(UNet2DModel, **options)
    blocks = diffusers_blocks(network)
    assert [block.name for block in blocks] == list(_in_order_of_running(network, blocks))
    assert len(blocks) > 10


def test_blocks_of_a_small_network_are_those_listed_here() -> None:
    blocks = case("diffusers-condition").blocks
    assert [(b.name, b.units, b.unit_width) for b in blocks[:5]] == [
        ("down_blocks.0.resnets.0", 4, 4),
        ("down_blocks.0.attentions.0.transformer_blocks.0.attn1", 4, 4),
        ("down_blocks.0.attentions.0.transformer_blocks.0.attn2", 4, 4),
        ("down_blocks.0.attentions.0.transformer_blocks.0.ff", 64, 1),
        ("down_blocks.1.resnets.0", 4, 8),
    ]
    assert len(blocks) == 20


def _counted(name: str, network: nn.Module) -> tuple[int, int]:
    """What torch's own counter sees in one call, and the parameters there are."""
    x, t, *others = (value[:1] for value in case(name, torch.float32).inputs)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(x, t, *others)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return counter.get_total_flops() // 2, parameters


@pytest.mark.parametrize("name", DIFFUSERS)
@settings(max_examples=4)
@given(drawn=st.data())
def test_the_count_is_that_of_torch_on_the_cut_network(name: str, drawn: st.DataObject) -> None:
    problem = case(name, torch.float32)
    configuration = drawn.draw(configurations(problem.blocks))
    cost = diffusers_macs(problem.network, configuration, 8, text_tokens=5)
    smaller = sliced_diffusers(problem.network, configuration)
    assert (cost.total.macs, cost.total.parameters) == _counted(name, smaller)


def test_counting_leaves_the_network_as_it_was() -> None:
    problem = case("diffusers-2d", torch.float32)
    before = problem.run()
    reused = {problem.blocks[0].name: BlockChoice("reused")}
    removed = {problem.blocks[0].name: BlockChoice("removed")}
    cost = diffusers_macs(problem.network, NetworkConfiguration.of(reused), 8)
    assert cost == diffusers_macs(problem.network, NetworkConfiguration.of(removed), 8)
    assert torch.equal(problem.run(), before)
    assert not any(layer._forward_hooks for layer in problem.network.modules())


DDPM_32: dict[str, Any] = {
    "sample_size": 32,
    "block_out_channels": (128, 256, 256, 256),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    "downsample_padding": 0,
}
DDPM_256: dict[str, Any] = {
    "sample_size": 256,
    "block_out_channels": (128, 128, 256, 256, 512, 512),
    "down_block_types": (*["DownBlock2D"] * 4, "AttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "AttnUpBlock2D", *["UpBlock2D"] * 4),
    "downsample_padding": 0,
}


@pytest.mark.parametrize(
    ("options", "parameters", "gmacs", "ratios"),
    [(DDPM_32, 35.75, 6.22, (0.816, 0.632)), (DDPM_256, 113.67, 248.5, (0.792, 0.584))],
    ids=["cifar10-32", "256"],
)
def test_public_layouts_cost_what_was_counted_elsewhere(
    options: dict[str, Any], parameters: float, gmacs: float, ratios: tuple[float, float]
) -> None:
    """The pruning literature prints 35.7 M and 113.7 M parameters, 248.7 GMAC for the larger."""
    with torch.device("meta"):
        network = UNet2DModel(layers_per_block=2, attention_head_dim=None, norm_eps=1e-6, **options)
    size = options["sample_size"]
    full = diffusers_macs(network, FULL, size).total
    assert full.parameters / 1e6 == pytest.approx(parameters, abs=0.006)
    assert full.macs / 1e9 == pytest.approx(gmacs, rel=1e-3)
    for groups, ratio in zip((24, 16), ratios, strict=True):
        kept = BlockChoice("groups", tuple(range(groups)))
        narrow = NetworkConfiguration.of(
            {b.name: kept for b in diffusers_blocks(network) if b.kind == "residual"}
        )
        macs = diffusers_macs(network, narrow, size).total.macs
        assert macs / full.macs == pytest.approx(ratio, abs=6e-4)


def test_other_networks_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"network=Linear: .*UNet2DModel, UNet2DConditionModel"):
        diffusers_blocks(nn.Linear(2, 2))


def test_feed_forwards_in_chunks_are_refused() -> None:
    network = _condition()
    transformer = network.get_submodule("mid_block.attentions.0.transformer_blocks.0")
    assert isinstance(transformer, BasicTransformerBlock)
    transformer.set_chunk_feed_forward(1, 1)
    with pytest.raises(InvalidInput, match="set_chunk_feed_forward"):
        diffusers_blocks(network)
    transformer.set_chunk_feed_forward(None, 0)
    assert diffusers_blocks(network)


class _Adapted(nn.Linear):
    """A layer that an adapter put in place of a plain one."""


def test_blocks_with_adapters_or_tied_heads_always_run_in_full() -> None:
    network = _condition()
    names = {block.name for block in diffusers_blocks(network)}
    first, second, third, fourth = sorted(name for name in names if "attn1" in name)[:4]
    network.set_submodule(f"{first}.to_q", _Adapted(16, 16, bias=False))
    adapted, fused = network.get_submodule(second), network.get_submodule(third)
    assert isinstance(adapted, Attention)
    assert isinstance(fused, Attention)
    adapted.set_processor(AttnAddedKVProcessor())  # type: ignore[arg-type]  # named too narrowly
    fused.fuse_projections()  # type: ignore[no-untyped-call]
    gone = {first, second, third}
    ff, resnet = f"{fourth.removesuffix('attn1')}ff", "mid_block.resnets.0"
    network.set_submodule(f"{ff}.net.2", _Adapted(4, 4))
    network.set_submodule(f"{resnet}.time_emb_proj", _Adapted(4, 4))
    assert names - {block.name for block in diffusers_blocks(network)} == {*gone, ff, resnet}


def test_a_body_of_another_width_than_its_input_cannot_be_removed() -> None:
    network = _condition()
    path = "mid_block.attentions.0.transformer_blocks.0"
    network.set_submodule(f"{path}.attn1", Attention(32, heads=2, dim_head=8, out_dim=16))
    network.set_submodule(f"{path}.ff.net.2", nn.Linear(128, 16))
    blocks = {block.name: block for block in diffusers_blocks(network)}
    removable = {name: blocks[f"{path}.{name}"].can_be_removed for name in ("attn1", "attn2", "ff")}
    assert removable == {"attn1": False, "attn2": True, "ff": False}


def test_resamplers_out_of_sight_are_not_counted_in_silence() -> None:
    network = _small(
        UNet2DModel,
        block_out_channels=(32, 32),
        down_block_types=("SkipDownBlock2D", "AttnSkipDownBlock2D"),
        up_block_types=("AttnSkipUpBlock2D", "SkipUpBlock2D"),
    )
    with pytest.raises(InvalidInput, match="FirDownsample2D, whose arithmetic is not counted"):
        diffusers_macs(network, FULL, 8)
