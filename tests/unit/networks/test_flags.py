"""Flags of the public scripts: the networks they stand for, and which are refused."""

from __future__ import annotations

from math import prod
from typing import Any

import pytest

from fewstep.errors import InvalidInput
from fewstep.networks.adm.config import UNetConfig
from fewstep.networks.adm.encoder_config import EncoderConfig
from fewstep.networks.adm.shapes import encoder_tensor_shapes, tensor_shapes
from fewstep.networks.guided_diffusion_flags import (
    encoder_config,
    network_config,
    parse_flags,
    unet_config,
)

IMAGENET_64 = (
    "--attention_resolutions 32,16,8 --class_cond True --diffusion_steps 1000 --dropout 0.1 "
    "--image_size 64 --learn_sigma True --noise_schedule cosine --num_channels 192 "
    "--num_head_channels 64 --num_res_blocks 3 --resblock_updown True "
    "--use_new_attention_order True --use_fp16 True --use_scale_shift_norm True"
)


def test_flags_of_the_64_pixel_model_give_its_network() -> None:
    config = network_config(parse_flags(IMAGENET_64))
    assert config == UNetConfig(
        in_channels=3,
        model_channels=192,
        out_channels=6,
        num_res_blocks=3,
        attention_resolutions=(2, 4, 8),
        dropout=0.1,
        channel_mult=(1, 2, 3, 4),
        num_classes=1000,
        num_heads=4,
        num_head_channels=64,
        use_scale_shift_norm=True,
        resblock_updown=True,
        use_new_attention_order=True,
    )
    parameters = sum(prod(shape) for shape in tensor_shapes(config).values())
    assert parameters == 295_904_454  # 296 M in the paper's table


def test_flags_of_the_64_pixel_classifier_give_its_network() -> None:
    config = network_config({"classifier_depth": 4})
    assert config == EncoderConfig(
        image_size=64,
        in_channels=3,
        model_channels=128,
        out_channels=1000,
        num_res_blocks=4,
        attention_resolutions=(2, 4, 8),
        channel_mult=(1, 2, 3, 4),
        num_head_channels=64,
        use_scale_shift_norm=True,
        resblock_updown=True,
        pool="attention",
    )
    assert encoder_tensor_shapes(config)["out.2.positional_embedding"] == (512, 8**2 + 1)


def test_defaults_are_those_of_the_scripts() -> None:
    config = unet_config({})
    assert (config.model_channels, config.num_res_blocks, config.num_heads) == (128, 2, 4)
    assert config.attention_resolutions == (4, 8)  # 16 and 8 of 64
    assert config.use_scale_shift_norm
    assert (config.num_classes, config.out_channels) == (None, 3)
    assert (config.num_head_channels, config.num_heads_upsample) == (None, None)
    assert encoder_config({}).num_res_blocks == 2


@pytest.mark.parametrize(
    ("size", "multiples", "factors"),
    [
        (64, (1, 2, 3, 4), (2, 4, 8)),
        (128, (1, 1, 2, 3, 4), (4, 8, 16)),
        (256, (1, 1, 2, 2, 4, 4), (8, 16, 32)),
        (512, (0.5, 1, 1, 2, 2, 4, 4), (16, 32, 64)),
    ],
)
def test_multiples_and_attention_follow_the_image_size(
    size: int, multiples: tuple[float, ...], factors: tuple[int, ...]
) -> None:
    flags: dict[str, int | str] = {"image_size": size, "attention_resolutions": "32,16,8"}
    config = unet_config(flags)
    assert (config.channel_mult, config.attention_resolutions) == (multiples, factors)
    classifier = encoder_config({"image_size": size})
    assert (classifier.channel_mult, classifier.attention_resolutions) == (multiples, factors)


def test_given_multiples_replace_the_default_at_any_size() -> None:
    config = unet_config(
        {"image_size": "32", "channel_mult": "1,2,2", "attention_resolutions": "16"}
    )
    assert (config.channel_mult, config.attention_resolutions) == ((1, 2, 2), (2,))


def test_sides_are_rounded_down_to_factors_as_in_the_scripts() -> None:
    flags: dict[str, int | str] = {
        "image_size": 96,
        "channel_mult": "1,2",
        "attention_resolutions": "36",
    }
    assert unet_config(flags).attention_resolutions == (2,)  # 96 // 36


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("a=1 b=x,y", {"a": "1", "b": "x,y"}),
        ("--a 1  --b=2", {"a": "1", "b": "2"}),
        ("channel_mult=''", {"channel_mult": ""}),
        ("--num_heads_upsample -1", {"num_heads_upsample": "-1"}),
    ],
)
def test_flags_are_read_in_both_notations(text: str, expected: dict[str, str]) -> None:
    assert parse_flags(text) == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("image_size", "'image_size' has no value"),
        ("--image_size", "'image_size' has no value"),
        ("64", "'64' has no value"),
        ("a-b=3", "'a-b' has no value"),
        ("a=1 a=2", "a='2'.*allowed: given once"),
        ("a='1", "closed quotes"),
    ],
)
def test_words_that_are_no_flags_are_refused(text: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        parse_flags(text)


@pytest.mark.parametrize(
    ("flags", "field", "told"),
    [
        ({"num_chanels": 64}, "num_chanels", "unknown flag; allowed: attention_resolutions, "),
        ({"image_size": 32}, "image_size", "image_size=32.*64, 128, 256, 512, or channel_mult"),
        ({"image_size": "big"}, "image_size", "image_size='big'.*a positive integer"),
        ({"image_size": "-64"}, "image_size", "a positive integer"),
        ({"image_size": "²"}, "image_size", "a positive integer"),
        ({"num_res_blocks": 0}, "num_res_blocks", "num_res_blocks='0'.*a positive integer"),
        ({"num_heads_upsample": -2}, "num_heads_upsample", "a positive integer"),
        ({"attention_resolutions": "16,,8"}, "attention_resolutions", "a positive integer"),
        ({"attention_resolutions": "16,128"}, "attention_resolutions", "up to image_size=64"),
        ({"channel_mult": "1,0"}, "channel_mult", "positive numbers"),
        ({"channel_mult": "1;2"}, "channel_mult", "channel_mult='1;2'.*a number"),
        ({"channel_mult": "1,inf"}, "channel_mult", "a number"),
        ({"class_cond": "maybe"}, "class_cond", "class_cond='maybe'.*True or False"),
        ({"dropout": "nan"}, "dropout", "dropout='nan'.*a number"),
        ({"dropout": 1.5}, "architecture", "dropout=1.5.*0 <= dropout < 1"),
        ({"num_channels": 48}, "architecture", "norm_groups=32.*divisor.*include 48"),
        ({"num_head_channels": 96}, "architecture", "num_head_channels=96.*divisor"),
        ({"classifier_pool": "max"}, "classifier_pool", "'max'.*one of: adaptive, attention"),
        ({"classifier_depth": 2, "num_channels": 64}, "num_channels", "unknown flag"),
        ({"classifier_width": 32}, "architecture", "num_head_channels=64.*divisor"),
    ],
)
def test_impossible_flag_is_named_with_its_value_and_what_is_allowed(
    flags: dict[str, Any], field: str, told: str
) -> None:
    with pytest.raises(InvalidInput, match=told) as caught:
        network_config(flags)
    assert caught.value.field == field
