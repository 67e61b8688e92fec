"""Configurations as data: canonical, through JSON, and refused where they do not fit."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewstep.errors import InvalidInput
from fewstep.networks.adm.config import UNetConfig
from fewstep.networks.pruning.blocks import PrunableBlock, adm_blocks
from fewstep.networks.pruning.configuration import (
    BlockChoice,
    NetworkConfiguration,
    kept_channels,
    kept_width,
)
from fewstep.networks.zoo.digits_recipe import DIGITS
from tests.unit.networks.pruning.drawn import configurations

RESIDUAL = PrunableBlock(name="res", kind="residual", units=4, unit_width=3)
ATTENTION = PrunableBlock(name="attn", kind="attention", units=2, unit_width=8)
HIDDEN = PrunableBlock(name="ff", kind="feed-forward", units=5, unit_width=1)
FIXED = PrunableBlock(
    name="fixed", kind="feed-forward", units=5, unit_width=1, can_be_removed=False
)
BLOCKS = (RESIDUAL, ATTENTION, HIDDEN, FIXED)
IMAGENET_64 = UNetConfig(
    in_channels=3,
    model_channels=192,
    out_channels=6,
    num_res_blocks=3,
    attention_resolutions=(2, 4, 8),
    channel_mult=(1, 2, 3, 4),
    num_classes=1000,
    num_head_channels=64,
    use_scale_shift_norm=True,
    resblock_updown=True,
    use_new_attention_order=True,
)


def test_blocks_of_the_bundled_network_are_those_listed_here() -> None:
    assert [(b.name, b.kind, b.units, b.unit_width) for b in adm_blocks(DIGITS.unet)] == [
        ("input_blocks.1.0", "residual", 8, 4),
        ("input_blocks.3.0", "residual", 8, 8),
        ("input_blocks.3.1", "attention", 2, 32),
        ("middle_block.0", "residual", 8, 8),
        ("middle_block.1", "attention", 2, 32),
        ("middle_block.2", "residual", 8, 8),
        ("output_blocks.0.0", "residual", 8, 8),
        ("output_blocks.0.1", "attention", 2, 32),
        ("output_blocks.1.0", "residual", 8, 8),
        ("output_blocks.1.1", "attention", 2, 32),
        ("output_blocks.2.0", "residual", 8, 4),
        ("output_blocks.3.0", "residual", 8, 4),
    ]


def test_places_of_imagenet_64_are_the_published_ids() -> None:
    """Ref: AutoDiffusion as released: 0-3 level 0, 4-10 level 1, ..., 54-57 level 0 again."""
    blocks = adm_blocks(IMAGENET_64)
    kinds = "".join(block.kind[0] for block in blocks)
    encoder, decoder = "rrrr" + 2 * "rararar" + "rarara", "rarararar"
    assert kinds == encoder + "rar" + 3 * decoder + "rrrr"
    assert len(blocks) == 58
    assert [blocks[i].name for i in (0, 3, 10, 24, 35, 57)] == [
        "input_blocks.1.0",
        "input_blocks.4.0",
        "input_blocks.8.0",
        "middle_block.0",
        "output_blocks.3.2",
        "output_blocks.15.0",
    ]


@given(configurations(BLOCKS[:3]))
def test_configurations_survive_json(configuration: NetworkConfiguration) -> None:
    text = json.dumps(configuration.to_dict())
    again = NetworkConfiguration.from_dict(json.loads(text))
    assert again == configuration
    assert again.content_hash == configuration.content_hash
    assert hash(again) == hash(configuration)


@given(configurations(BLOCKS[:3]))
def test_normalising_is_idempotent_and_changes_no_width(
    configuration: NetworkConfiguration,
) -> None:
    once = configuration.normalised(BLOCKS)
    assert once.normalised(BLOCKS) == once
    for block in BLOCKS:
        assert kept_width(block, once.get(block.name)) == kept_width(
            block, configuration.get(block.name)
        )
    assert all(kept_width(b, once.get(b.name)) < b.width for b in BLOCKS if once.get(b.name))


def test_order_of_choices_is_no_part_of_a_configuration() -> None:
    one = {"res": BlockChoice("removed"), "attn": BlockChoice("heads", (1,))}
    other = dict(reversed(one.items()))
    assert NetworkConfiguration.of(one) == NetworkConfiguration.of(other)
    assert list(NetworkConfiguration.of(one).to_dict()) == ["attn", "res"]


def test_keeping_everything_is_the_identity() -> None:
    everything = {
        "res": BlockChoice("groups", (0, 1, 2, 3)),
        "attn": BlockChoice("heads", (0, 1)),
        "ff": BlockChoice("hidden", tuple(range(5))),
    }
    assert NetworkConfiguration.of(everything).normalised(BLOCKS) == NetworkConfiguration()
    channels = {"res": BlockChoice("channels", tuple(range(12)))}
    assert NetworkConfiguration.of(channels).normalised(BLOCKS) == NetworkConfiguration()
    assert NetworkConfiguration().to_dict() == {}


def test_only_residual_blocks_have_groups_to_keep_statistics_of() -> None:
    assert [block.num_groups for block in BLOCKS] == [4, None, None, None]
    assert [block.width for block in BLOCKS] == [12, 16, 5, 5]


def test_kept_channels_are_whole_units() -> None:
    assert kept_channels(RESIDUAL, BlockChoice("groups", (0, 3))) == (0, 1, 2, 9, 10, 11)
    assert kept_channels(RESIDUAL, BlockChoice("channels", (0, 4, 8, 9))) == (0, 4, 8, 9)
    assert kept_channels(ATTENTION, BlockChoice("heads", (1,))) == tuple(range(8, 16))
    assert kept_channels(RESIDUAL, BlockChoice("removed")) == ()


@pytest.mark.parametrize(
    ("name", "choice", "message"),
    [
        ("stem", BlockChoice("removed"), "stem=unknown block; allowed: res, attn, ff, fixed"),
        ("res", BlockChoice("heads", (0,)), "res.mode='heads'; allowed: groups, channels, rem"),
        ("attn", BlockChoice("groups", (0,)), "attn.mode='groups'; allowed: heads, removed"),
        ("ff", BlockChoice("channels", (0,)), "ff.mode='channels'; allowed: hidden, removed, re"),
        ("fixed", BlockChoice("removed"), "fixed.mode='removed'; allowed: hidden"),
        ("fixed", BlockChoice("reused"), "fixed.mode='reused'; allowed: hidden"),
        ("res", BlockChoice("removed", (1,)), "res.kept=[1]; allowed: nothing where mode is 'rem"),
        ("res", BlockChoice("groups"), "res.kept=[]; allowed: at least one index from 0 to 3; to"),
        ("attn", BlockChoice("heads"), "from 0 to 1; to keep none, mode 'removed'"),
        ("fixed", BlockChoice("hidden"), "fixed.kept=[]; allowed: at least one index from 0 to 4"),
        ("res", BlockChoice("groups", (0, 4)), "res.kept[1]=4; allowed: an integer from 0 to 3"),
        ("res", BlockChoice("groups", (-1,)), "res.kept[0]=-1; allowed: an integer from 0 to 3"),
        ("res", BlockChoice("groups", (True,)), "res.kept[0]=True; allowed: an integer from 0"),
        ("res", BlockChoice("groups", (2, 1)), "res.kept[1]=1; allowed: more than 2: ascending"),
        ("attn", BlockChoice("heads", (1, 1)), "attn.kept[1]=1; allowed: more than 1: ascending"),
        ("res", BlockChoice("channels", (0, 3, 6)), "group 0 has 1, group 3 has 0"),
        ("res", BlockChoice("channels", (0, 1, 3, 4, 6, 9)), "group 0 has 2, group 2 has 1"),
        ("res", BlockChoice("channels", (0, 12)), "res.kept[1]=12; allowed: an integer from 0 to"),
    ],
)
def test_illegal_choices_are_named_with_their_value_and_what_is_allowed(
    name: str, choice: BlockChoice, message: str
) -> None:
    configuration = NetworkConfiguration.of({name: choice})
    with pytest.raises(InvalidInput) as caught:
        configuration.check(BLOCKS)
    assert message in caught.value.message
    assert caught.value.message.startswith(f"configuration.{name}")
    assert caught.value.field == "configuration"
    with pytest.raises(InvalidInput):
        configuration.normalised(BLOCKS)


def test_a_plain_resampler_is_no_block() -> None:
    assert not DIGITS.unet.resblock_updown
    configuration = NetworkConfiguration.of({"input_blocks.2.0": BlockChoice("removed")})
    with pytest.raises(InvalidInput, match=r"input_blocks\.2\.0=unknown block"):
        configuration.check(adm_blocks(DIGITS.unet))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "configuration=[]: wrong type"),
        ({1: {}}, "wrong type"),
        ({"a": "removed"}, "configuration.a='removed'; allowed: an object with mode and kept"),
        ({"a": {"mode": "heads", "keep": [1]}}, "an object with mode and kept"),
        ({"a": {"kept": [1]}}, "configuration.a.mode=None; allowed: groups, channels, heads, hid"),
        ({"a": {"mode": ["heads"]}}, "configuration.a.mode=['heads']; allowed: groups"),
        ({"a": {"mode": "heads", "kept": "1"}}, "configuration.a.kept='1'; allowed: a list of"),
        ({"a": {"mode": "heads", "kept": [1.0]}}, "configuration.a.kept=[1.0]; allowed: a list"),
        ({"a": {"mode": "heads", "kept": [True]}}, "configuration.a.kept=[True]; allowed: a list"),
    ],
)
def test_malformed_json_is_refused(values: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        NetworkConfiguration.from_dict(values)
    assert message in caught.value.message


def test_a_block_is_named_once() -> None:
    pair = ("a", BlockChoice("removed"))
    with pytest.raises(InvalidInput, match="named twice"):
        NetworkConfiguration((pair, ("b", BlockChoice("removed")), pair))


@given(st.sets(st.sampled_from(["res", "attn", "ff"])))
def test_reused_names_the_blocks_that_an_earlier_call_must_run(names: set[str]) -> None:
    rest = {"res": BlockChoice("removed"), "ff": BlockChoice("hidden", (0,))}
    configuration = NetworkConfiguration.of(rest | {name: BlockChoice("reused") for name in names})
    assert configuration.reused == names


def test_describing_and_counting_needs_no_torch() -> None:
    modules = ("blocks", "configuration", "macs")
    lines = [f"import fewstep.networks.pruning.{module}" for module in modules]
    program = "; ".join([*lines, "import sys", "print('torch' in sys.modules)"])
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert answer.stdout.strip() == "False"
