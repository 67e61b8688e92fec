"""Multiply-adds and parameters: the analytic count is that of the network really cut."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fewstep.errors import InvalidInput
from fewstep.networks.adm.config import UNetConfig
from fewstep.networks.adm.unet import UNet
from fewstep.networks.pruning.blocks import adm_blocks
from fewstep.networks.pruning.cache import BodyCache
from fewstep.networks.pruning.configuration import BlockChoice, NetworkConfiguration
from fewstep.networks.pruning.macs import Cost, adm_macs
from fewstep.networks.pruning.slicing import sliced
from fewstep.networks.zoo.digits_recipe import DIGITS
from tests.unit.networks.pruning.drawn import configurations, unet_configs
from tests.unit.networks.pruning.test_configuration import IMAGENET_64

FULL = NetworkConfiguration()


def counted(network: nn.Module, config: UNetConfig, sides: tuple[int, int]) -> Cost:
    """What torch's own counter sees in one call, and the parameters there are."""
    x, labels = torch.zeros(1, config.in_channels, *sides), torch.zeros(1, dtype=torch.long)
    extra = () if config.num_classes is None else (labels,)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(x, torch.zeros(1), *extra)
    flops = counter.get_total_flops()
    assert flops % 2 == 0
    return Cost(flops // 2, sum(parameter.numel() for parameter in network.parameters()))


@settings(max_examples=20)
@given(config=unet_configs(), drawn=st.data())
def test_the_count_is_that_of_torch_on_the_cut_network(
    config: UNetConfig, drawn: st.DataObject
) -> None:
    configuration = drawn.draw(configurations(adm_blocks(config)))
    factor = config.downsample_factor
    sides = (factor * drawn.draw(st.integers(2, 3)), factor * drawn.draw(st.integers(2, 4)))
    network = UNet(config).eval()
    smaller = sliced(network, configuration)
    assert adm_macs(config, configuration, sides).total == counted(smaller, config, sides)


def test_a_reused_body_costs_what_a_removed_one_costs() -> None:
    names = ["input_blocks.1.0", "middle_block.1", "output_blocks.1.0"]
    reused = NetworkConfiguration.of({name: BlockChoice("reused") for name in names})
    removed = NetworkConfiguration.of({name: BlockChoice("removed") for name in names})
    cost = adm_macs(DIGITS.unet, reused, 8)
    assert cost == adm_macs(DIGITS.unet, removed, 8)
    network, cache = UNet(DIGITS.unet).eval(), BodyCache(names)
    counted(sliced(network, FULL, cache=cache), DIGITS.unet, (8, 8))
    assert cost.total == counted(sliced(network, reused, cache=cache), DIGITS.unet, (8, 8))


def test_parts_are_all_blocks_and_what_cannot_be_cut() -> None:
    cost = adm_macs(DIGITS.unet, FULL, 8)
    blocks = {block.name for block in adm_blocks(DIGITS.unet)}
    assert set(cost.parts) - blocks == {
        "time_embed",
        "label_emb",
        "input_blocks.0.0",
        "input_blocks.2.0",
        "output_blocks.1.2",
        "out",
    }
    one = NetworkConfiguration.of({"middle_block.0": BlockChoice("groups", (0, 5))})
    changed = adm_macs(DIGITS.unet, one, 8).parts
    assert {name for name in cost.parts if cost.parts[name] != changed[name]} == {"middle_block.0"}


@pytest.mark.parametrize(("groups", "ratio"), [(24, 0.791), (16, 0.581)])
def test_imagenet_64_costs_what_was_counted_elsewhere(groups: int, ratio: float) -> None:
    """295.9 M parameters, 109.7 GMAC a call; inner widths at 3/4 and 1/2: of diffusers layouts."""
    full = adm_macs(IMAGENET_64, FULL, 64).total
    assert round(full.parameters / 1e6, 1) == 295.9
    assert round(full.macs / 1e9, 1) == 109.7
    kept = BlockChoice("groups", tuple(range(groups)))
    narrow = NetworkConfiguration.of(
        {block.name: kept for block in adm_blocks(IMAGENET_64) if block.kind == "residual"}
    )
    assert round(adm_macs(IMAGENET_64, narrow, 64).total.macs / full.macs, 3) == ratio


def test_the_published_nine_layers_are_a_sixth_of_one_call() -> None:
    """Ref: AutoDiffusion's published example: these ids are left out in one of ten calls."""
    blocks = adm_blocks(IMAGENET_64)
    skipped = [blocks[i].name for i in (4, 8, 10, 15, 30, 39, 46, 49, 54)]
    removed = NetworkConfiguration.of({name: BlockChoice("removed") for name in skipped})
    left = adm_macs(IMAGENET_64, removed, 64).total.macs
    assert round(1 - left / adm_macs(IMAGENET_64, FULL, 64).total.macs, 3) == 0.168


@pytest.mark.parametrize("size", [7, 0, (8, 9), -2])
def test_sizes_that_do_not_halve_are_refused(size: int | tuple[int, int]) -> None:
    with pytest.raises(InvalidInput, match=r"image_size=.*multiples of 2") as caught:
        adm_macs(DIGITS.unet, FULL, size)
    assert caught.value.field == "image_size"


def test_counting_checks_the_configuration() -> None:
    wrong = NetworkConfiguration.of({"middle_block.1": BlockChoice("heads", (2,))})
    with pytest.raises(InvalidInput, match=r"middle_block\.1\.kept\[0\]=2"):
        adm_macs(DIGITS.unet, wrong, 8)
