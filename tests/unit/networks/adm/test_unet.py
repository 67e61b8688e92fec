"""The UNet: the public one's tensors and outputs, for every option."""

from __future__ import annotations

import json
import math
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fewstep.errors import InvalidInput
from fewstep.networks.adm.attention import AttentionBlock
from fewstep.networks.adm.config import UNetConfig
from fewstep.networks.adm.embedding import timestep_embedding
from fewstep.networks.adm.layout import Attention
from fewstep.networks.adm.shapes import tensor_shapes
from fewstep.networks.adm.unet import UNet
from tests.unit.networks.adm.seeded import fill, inputs

PUBLIC: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("public_unets.json").read_text(encoding="utf-8")
)["cases"]
SMALL: dict[str, Any] = {
    "in_channels": 2,
    "model_channels": 16,
    "out_channels": 2,
    "num_res_blocks": 1,
    "attention_resolutions": (2,),
    "channel_mult": (1, 2),
    "norm_groups": 8,
}


@pytest.mark.parametrize("case", sorted(PUBLIC))
def test_tensors_are_those_of_the_public_network(case: str) -> None:
    public = PUBLIC[case]
    network = UNet(UNetConfig.from_dict(public["config"]))
    ours = {name: list(value.shape) for name, value in network.state_dict().items()}
    assert ours == public["tensors"]
    assert list(ours) == list(public["tensors"])  # optimizers of others go by order


@pytest.mark.parametrize("case", sorted(PUBLIC))
def test_outputs_are_those_of_the_public_network(case: str) -> None:
    public = PUBLIC[case]
    config = UNetConfig.from_dict(public["config"])
    network = UNet(config).eval()
    fill(network)
    with torch.inference_mode():
        ours = network(*inputs(config.in_channels, config.num_classes)).flatten()
    theirs = torch.tensor(public["output"])
    assert theirs.std() > 0.1
    torch.testing.assert_close(ours, theirs, rtol=0.0, atol=5e-6)


OPTIONS = list(product([False, True], [False, True], [False, True], [False, True], [None, 3]))


@pytest.mark.parametrize(("scale_shift", "updown", "split_first", "convolve", "classes"), OPTIONS)
def test_every_option_runs_and_has_the_tensors_of_the_table(
    scale_shift: bool, updown: bool, split_first: bool, convolve: bool, classes: int | None
) -> None:
    config = UNetConfig(
        **SMALL,
        use_scale_shift_norm=scale_shift,
        resblock_updown=updown,
        use_new_attention_order=split_first,
        conv_resample=convolve,
        num_classes=classes,
        num_head_channels=8,
    )
    network = UNet(config).eval()
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert shapes == tensor_shapes(config)
    x, t, y = inputs(config.in_channels, classes)
    assert network(x, t, y).shape == (2, 2, 8, 8)


def _filled(**options: Any) -> UNet:
    network = UNet(UNetConfig(**SMALL, **options)).eval()
    fill(network)
    return network


@torch.inference_mode()
def test_a_new_network_predicts_zero() -> None:
    x, t, _ = inputs(2, None)
    predicted = UNet(UNetConfig(**SMALL))(x, t)
    assert torch.equal(predicted, torch.zeros_like(x))


@torch.inference_mode()
def test_every_label_changes_the_prediction_of_its_own_image_alone() -> None:
    network = _filled(num_classes=4)
    x, t, _ = inputs(2, 4)
    first = network(x, t, torch.tensor([0, 1]))
    for label in (1, 2, 3):  # 3: where a model card may put its null label
        other = network(x, t, torch.tensor([label, 1]))
        assert (other[0] - first[0]).abs().max() > 1e-3
        torch.testing.assert_close(other[1], first[1], rtol=1e-6, atol=1e-6)


@torch.inference_mode()
def test_scale_shift_and_additive_conditioning_both_tell_times_apart() -> None:
    for scale_shift in (False, True):
        network = _filled(use_scale_shift_norm=scale_shift)
        x, _, _ = inputs(2, None)
        early, late = network(x, torch.tensor([10.0] * 2)), network(x, torch.tensor([900.0] * 2))
        assert (early - late).abs().max() > 1e-2


@torch.inference_mode()
def test_additive_embedding_before_a_norm_of_single_channels_is_lost() -> None:
    """Why small networks here use scale-shift norm: such a norm takes every offset out again."""
    x, _, _ = inputs(2, None)
    for groups, is_heard in ((16, False), (8, True)):
        options = {
            **SMALL,
            "channel_mult": (1,),
            "attention_resolutions": (),
            "norm_groups": groups,
        }
        network = UNet(UNetConfig(**options)).eval()
        fill(network)
        early, late = network(x, torch.tensor([10.0] * 2)), network(x, torch.tensor([900.0] * 2))
        assert ((early - late).abs().max() > 1e-3) == is_heard


def test_batches_of_any_size_give_the_same_images() -> None:
    network = _filled(num_classes=3, num_head_channels=8)
    x, t, y = inputs(2, 3)
    assert y is not None
    with torch.inference_mode():
        together = network(x, t, y)
        alone = torch.cat([network(x[i : i + 1], t[i : i + 1], y[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=5e-6)


@pytest.mark.parametrize(("classes", "y"), [(None, torch.tensor([0, 1])), (3, None)])
def test_labels_are_wanted_exactly_where_there_are_classes(
    classes: int | None, y: Tensor | None
) -> None:
    network = UNet(UNetConfig(**SMALL, num_classes=classes))
    x, t, _ = inputs(2, None)
    with pytest.raises(InvalidInput, match=f"num_classes={classes}") as caught:
        network(x, t, y)
    assert caught.value.field == "labels"


def test_attention_orders_are_one_permutation_apart() -> None:
    layer = Attention(channels=8, num_heads=2)
    per_head = AttentionBlock(layer, norm_groups=4, split_first=False)
    split_first = AttentionBlock(layer, norm_groups=4, split_first=True)
    fill(per_head)
    # Rows (head, q|k|v, 4) become (q|k|v, head, 4).
    order = torch.arange(24).reshape(2, 3, 4).transpose(0, 1).flatten()
    state = per_head.state_dict()
    permuted = {name: v[order] if name.startswith("qkv") else v for name, v in state.items()}
    split_first.load_state_dict(permuted)
    x = torch.cos(torch.arange(2 * 8 * 9.0)).reshape(2, 8, 3, 3)
    torch.testing.assert_close(per_head(x), split_first(x), rtol=1e-6, atol=1e-6)
    assert (per_head(x) - x).abs().max() > 1e-2


def test_time_embedding_is_cosines_then_sines_of_falling_frequency() -> None:
    embedding = timestep_embedding(torch.tensor([0.0, 2.5]), 5)
    assert embedding.shape == (2, 5)
    assert embedding[0].tolist() == [1.0, 1.0, 0.0, 0.0, 0.0]  # an odd width ends in zero
    expected = torch.tensor([2.5, 2.5 / 100.0])
    torch.testing.assert_close(embedding[1, :2], expected.cos())
    torch.testing.assert_close(embedding[1, 2:4], expected.sin())


def test_time_embedding_rounds_as_in_the_checkpoints_at_widths_beyond_powers_of_two() -> None:
    """At 1000 a frequency one rounding off moves the angle by 3e-5; the 64-pixel model has 192."""
    t = torch.arange(1000.0)
    exponents = torch.tensor(-math.log(10_000.0)) * torch.arange(96.0)  # multiplied, then divided
    angles = t[:, None] * torch.exp(exponents / 96)
    assert torch.equal(timestep_embedding(t, 192), torch.cat([angles.cos(), angles.sin()], dim=1))
