"""The list of blocks a UNet is built from."""

from __future__ import annotations

from dataclasses import replace

from fewstep.networks.adm.layout import Attention, Resampler, Residual, Stem, unet_layout
from fewstep.networks.zoo.digits_recipe import DIGITS


def test_layout_of_the_bundled_network_is_the_one_drawn_here() -> None:
    layout = unet_layout(DIGITS.unet)
    attention = Attention(64, 2)
    assert layout.input_blocks == (
        (Stem(1, 32),),
        (Residual(32, 32, 32),),
        (Resampler(32, "down"),),
        (Residual(32, 64, 64), attention),
    )
    assert layout.middle_block == (Residual(64, 64, 64), attention, Residual(64, 64, 64))
    assert layout.output_blocks == (
        (Residual(128, 64, 64), attention),
        (Residual(96, 64, 64), attention, Resampler(64, "up")),
        (Residual(96, 32, 32),),
        (Residual(64, 32, 32),),
    )
    assert layout.head_channels == 32


def test_resampling_blocks_replace_resamplers() -> None:
    layout = unet_layout(replace(DIGITS.unet, resblock_updown=True))
    assert layout.input_blocks[2] == (Residual(32, 32, 32, "down"),)
    assert layout.output_blocks[1][-1] == Residual(64, 64, 64, "up")


def test_every_skip_is_used_once() -> None:
    config = replace(DIGITS.unet, channel_mult=(1, 2, 2), num_res_blocks=3)
    layout = unet_layout(config)
    assert len(layout.input_blocks) == len(layout.output_blocks)
