"""UNet options: what is refused, and how they go through JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from fewstep.errors import InvalidInput
from fewstep.networks.adm.config import UNetConfig
from fewstep.networks.zoo.digits_recipe import DIGITS


def test_options_survive_json() -> None:
    text = json.dumps(DIGITS.unet.to_dict())
    assert UNetConfig.from_dict(json.loads(text)) == DIGITS.unet


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("model_channels", 0, "1 to 65536"),
        ("model_channels", 2.5, "1 to 65536"),
        ("num_res_blocks", True, "a number"),
        ("dropout", 1.0, "0 <= dropout < 1"),
        ("channel_mult", [], "at least one"),
        ("channel_mult", "12", "a list of numbers"),
        ("norm_groups", 7, "divisor"),
        ("num_head_channels", 24, "divisor"),
        ("use_scale_shift_norm", 1, "true or false"),
        ("num_classes", 0, "1 to 65536"),
        ("num_heads", None, "1 to 65536"),
    ],
)
def test_bad_option_is_named_with_its_value_and_what_is_allowed(
    name: str, value: object, allowed: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        UNetConfig.from_dict({**DIGITS.unet.to_dict(), name: value})
    assert f"architecture.{name}={value!r}" in caught.value.message
    assert allowed in caught.value.message
    assert caught.value.field == "architecture"


def test_unknown_and_missing_options_are_named() -> None:
    fields = DIGITS.unet.to_dict()
    with pytest.raises(InvalidInput, match=r"architecture\.chanels: unknown field"):
        UNetConfig.from_dict({**fields, "chanels": 3})
    del fields["in_channels"]
    with pytest.raises(InvalidInput, match="in_channels"):
        UNetConfig.from_dict(fields)


def test_heads_come_from_their_width_where_it_is_given() -> None:
    by_count = replace(DIGITS.unet, num_head_channels=None, num_heads=4, num_heads_upsample=2)
    assert DIGITS.unet.heads(64) == 2
    assert by_count.heads(64) == 4
    assert by_count.heads(64, decoder=True) == 2


def test_widths_and_factor_follow_the_multiples() -> None:
    config = replace(DIGITS.unet, channel_mult=(0.5, 1, 2))
    assert config.widths == (16, 32, 64)
    assert config.downsample_factor == 4


@pytest.mark.parametrize(
    ("options", "told"),
    [
        # Attention at half the side, 48 channels wide; the middle's 64 would divide.
        ({"num_head_channels": 32}, "num_head_channels=32"),
        ({"num_heads": 5}, "num_heads=5"),
        ({"num_heads": 2, "num_heads_upsample": 5}, "num_heads_upsample=5"),
    ],
)
def test_heads_must_divide_every_width_that_has_attention(
    options: dict[str, int], told: str
) -> None:
    fields = {
        **DIGITS.unet.to_dict(),
        "channel_mult": [1, 1.5, 2],
        "attention_resolutions": [2],
        "norm_groups": 16,
        "num_head_channels": None,
    }
    with pytest.raises(InvalidInput, match=rf"{told}.*which include 48"):
        UNetConfig.from_dict({**fields, **options})
    if "num_head_channels" in options:
        UNetConfig.from_dict({**fields, **options, "attention_resolutions": []})


def test_heads_of_the_decoder_are_not_asked_to_divide_where_it_has_no_attention() -> None:
    config = replace(
        DIGITS.unet, num_head_channels=None, num_heads_upsample=5, attention_resolutions=()
    )
    assert config.heads(64, decoder=True) == 5
