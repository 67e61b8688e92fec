"""The encoder: the tensors of the public noisy classifier, pooled in each of its four ways."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewstep.errors import InvalidInput
from fewstep.networks.adm.encoder import Encoder
from fewstep.networks.adm.encoder_config import POOLS, EncoderConfig, Pool
from fewstep.networks.adm.layout import encoder_layout
from fewstep.networks.adm.pooling import AttentionPool
from fewstep.networks.adm.shapes import encoder_tensor_shapes
from tests.unit.networks.adm.seeded import fill, inputs

SMALL = EncoderConfig(
    image_size=8,
    in_channels=2,
    model_channels=16,
    out_channels=5,
    num_res_blocks=1,
    attention_resolutions=(2,),
    channel_mult=(1, 2),
    num_head_channels=8,
    norm_groups=8,
)
# Written down from the public network's keys; E = 64 is the embedding, in the order of its tensors.
TIME = {"time_embed.0": (64, 16), "time_embed.2": (64, 64), "input_blocks.0.0": (16, 2, 3, 3)}


def _residual(name: str, before: int, after: int) -> dict[str, tuple[int, ...]]:
    table: dict[str, tuple[int, ...]] = {
        f"{name}.in_layers.0": (before,),
        f"{name}.in_layers.2": (after, before, 3, 3),
        f"{name}.emb_layers.1": (after, 64),
        f"{name}.out_layers.0": (after,),
        f"{name}.out_layers.3": (after, after, 3, 3),
    }
    return table | ({f"{name}.skip_connection": (after, before, 1, 1)} if before != after else {})


def _attention(name: str) -> dict[str, tuple[int, ...]]:
    return {f"{name}.norm": (32,), f"{name}.qkv": (96, 32, 1), f"{name}.proj_out": (32, 32, 1)}


MIDDLE = (
    _residual("middle_block.0", 32, 32)
    | _attention("middle_block.1")
    | _residual("middle_block.2", 32, 32)
)
EXPECTED: dict[Pool, dict[str, tuple[int, ...]]] = {
    # A strided convolution halves; 4x4 pixels and their mean have places.
    "attention": TIME
    | _residual("input_blocks.1.0", 16, 16)
    | {"input_blocks.2.0.op": (16, 16, 3, 3)}
    | _residual("input_blocks.3.0", 16, 32)
    | _attention("input_blocks.3.1")
    | MIDDLE
    | {
        "out.0": (32,),
        "out.2.positional_embedding": (32, 17),
        "out.2.qkv_proj": (96, 32, 1),
        "out.2.c_proj": (5, 32, 1),
    },
    # A residual block halves; means of 16 + 16 + 16 + 32 + 32 channels.
    "spatial_v2": TIME
    | _residual("input_blocks.1.0", 16, 16)
    | _residual("input_blocks.2.0", 16, 16)
    | _residual("input_blocks.3.0", 16, 32)
    | _attention("input_blocks.3.1")
    | MIDDLE
    | {"out.0": (2048, 112), "out.1": (2048,), "out.3": (5, 2048)},
}


@pytest.mark.parametrize("pool", EXPECTED)
def test_tensors_are_those_written_down_from_the_public_network(pool: Pool) -> None:
    config = replace(SMALL, pool=pool, resblock_updown=pool == "spatial_v2")
    expected: dict[str, tuple[int, ...]] = {}
    for name, shape in EXPECTED[pool].items():
        is_one = name.endswith("positional_embedding")
        expected |= (
            {name: shape} if is_one else {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
        )
    state = Encoder(config).state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == expected
    assert list(state) == list(expected)
    assert encoder_tensor_shapes(config) == expected


@st.composite
def configs(draw: st.DrawFn) -> EncoderConfig:
    """Small encoders of every kind."""
    multiples = draw(st.lists(st.sampled_from([0.5, 1, 2, 3]), min_size=1, max_size=3))
    return EncoderConfig(
        image_size=8,
        in_channels=draw(st.integers(1, 3)),
        model_channels=16,
        out_channels=draw(st.integers(1, 6)),
        num_res_blocks=draw(st.integers(1, 2)),
        attention_resolutions=tuple(draw(st.sets(st.sampled_from([1, 2, 4])))),
        channel_mult=tuple(multiples),
        conv_resample=draw(st.booleans()),
        num_head_channels=draw(st.sampled_from([4, 8])),
        use_scale_shift_norm=draw(st.booleans()),
        resblock_updown=draw(st.booleans()),
        use_new_attention_order=draw(st.booleans()),
        pool=draw(st.sampled_from(POOLS)),
        norm_groups=8,
    )


@settings(max_examples=40)
@given(configs())
def test_table_of_shapes_is_the_state_of_the_module(config: EncoderConfig) -> None:
    with torch.device("meta"):
        state = Encoder(config).state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == (
        encoder_tensor_shapes(config)
    )
    assert EncoderConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_shapes_need_no_torch() -> None:
    code = (
        "import sys; from fewstep.networks.adm.shapes import encoder_tensor_shapes;"
        "from fewstep.networks.guided_diffusion_flags import encoder_config;"
        "assert encoder_tensor_shapes(encoder_config({})); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(("pool", "is_scale_shift"), list(product(POOLS, [False, True])))
@torch.inference_mode()
def test_logits_of_an_image_depend_on_it_and_its_time_alone(
    pool: Pool, is_scale_shift: bool
) -> None:
    network = Encoder(replace(SMALL, pool=pool, use_scale_shift_norm=is_scale_shift)).double()
    fill(network.eval())
    x, t, _ = inputs(2, None)
    x = x.double()
    together = network(x, t)
    alone = torch.cat([network(x[i : i + 1], t[i : i + 1]) for i in range(2)])
    assert together.shape == (2, 5)
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-12)
    other = network(x, t + torch.tensor([0.0, 50.0]))
    assert (other[1] - together[1]).abs().max() > 1e-4
    torch.testing.assert_close(other[0], together[0], rtol=1e-12, atol=1e-12)


@torch.inference_mode()
def test_attention_pool_is_the_formula_head_by_head() -> None:
    """Softmax of q.k over sqrt(width), the mean's query alone; rows are q, k, v of all heads."""
    channels, side, width, batch = 12, 3, 4, 2
    pool = AttentionPool(channels=channels, side=side, head_channels=width, out_channels=5).double()
    fill(pool)
    x = torch.cos(torch.arange(batch * channels * side**2, dtype=torch.float64) * 1.7)
    x = x.reshape(batch, channels, side, side)
    weight, bias = pool.qkv_proj.weight[:, :, 0], pool.qkv_proj.bias
    assert bias is not None
    assert pool.c_proj.bias is not None
    for image, logits in zip(x, pool(x), strict=True):
        columns = [image.mean(dim=(1, 2)), *image.reshape(channels, -1).T]
        places = pool.positional_embedding.T
        rows = [weight @ (c + p) + bias for c, p in zip(columns, places, strict=True)]
        pooled = []
        for head in range(channels // width):
            low = head * width
            query = rows[0][low : low + width]
            keys = [row[channels + low : channels + low + width] for row in rows]
            values = [row[2 * channels + low : 2 * channels + low + width] for row in rows]
            scores = torch.stack([query @ key for key in keys]) / width**0.5
            pooled.append((scores.softmax(0)[:, None] * torch.stack(values)).sum(0))
        expected = pool.c_proj.weight[:, :, 0] @ torch.cat(pooled) + pool.c_proj.bias
        torch.testing.assert_close(logits, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("pool", ["adaptive", "spatial", "spatial_v2"])
@torch.inference_mode()
def test_other_pools_read_means_over_pixels(pool: Pool) -> None:
    """Adaptive: of the last map, normalised. Spatial: of what each block puts out."""
    network = Encoder(replace(SMALL, pool=pool)).double().eval()
    fill(network)
    x, t, _ = inputs(2, None)
    maps: list[torch.Tensor] = []
    for block in (*network.input_blocks, network.middle_block):
        last_layer = list(block.children())[-1]
        last_layer.register_forward_hook(lambda _module, _inputs, output: maps.append(output))
    logits = network(x.double(), t)
    assert [m.shape[1] for m in maps] == list(encoder_layout(network.config).block_channels)
    if pool == "adaptive":
        norm, last = network.out[0], network.out[3]
        means = torch.nn.functional.silu(norm(maps[-1])).mean(dim=(2, 3))
        expected = means @ last.weight[:, :, 0, 0].T + last.bias  # type: ignore[index,operator]
    else:
        expected = network.out(torch.cat([m.mean(dim=(2, 3)) for m in maps], dim=1))
    torch.testing.assert_close(logits, expected, rtol=1e-12, atol=1e-12)
    assert logits.std() > 1e-3


def test_a_new_adaptive_head_says_nothing_of_any_class() -> None:
    x, t, _ = inputs(2, None)
    assert torch.equal(Encoder(SMALL)(x, t), torch.zeros(2, 5))


def test_attention_pool_refuses_images_of_another_size() -> None:
    network = Encoder(replace(SMALL, pool="attention"))
    with pytest.raises(InvalidInput, match=r"\(16, 16\).*image_size=8; allowed: 8 by 8"):
        network(torch.zeros(1, 2, 16, 16), torch.zeros(1))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"pool": "max"}, r"pool='max': must be one of: adaptive, attention"),
        ({"pool": 3}, r"pool=3: must be a name"),
        ({"pool": "attention", "num_head_channels": None}, r"num_head_channels=None.*'attention'"),
        ({"image_size": 9}, r"image_size=9: must be a multiple of 2"),
        ({"image_size": 0}, r"image_size=0: must be an integer from 1"),
        ({"out_channels": 0}, r"out_channels=0: must be an integer from 1"),
        ({"norm_groups": 7}, r"norm_groups=7: must be a divisor"),
        ({"num_head_channels": 12}, r"num_head_channels=12: must be a divisor"),
        ({"pool": "spatial_v2", "model_channels": 48, "norm_groups": 3}, r"norm_groups=3.*2048"),
        ({"num_classes": 3}, r"architecture\.num_classes: unknown field"),
    ],
)
def test_bad_option_is_named_with_its_value_and_what_is_allowed(
    options: dict[str, Any], told: str
) -> None:
    with pytest.raises(InvalidInput, match=told) as caught:
        EncoderConfig.from_dict({**SMALL.to_dict(), **options})
    assert caught.value.field == "architecture"
