"""The ADM UNet: keys, shapes and outputs of the public guided-diffusion `UNetModel`."""

from __future__ import annotations

from typing import assert_never

import torch
from torch import Tensor, nn

from fewstep.errors import InvalidInput
from fewstep.networks.adm.attention import AttentionBlock
from fewstep.networks.adm.blocks import Conditioned, Downsample, ResidualBlock, Upsample
from fewstep.networks.adm.config import UNetConfig
from fewstep.networks.adm.embedding import timestep_embedding
from fewstep.networks.adm.layout import (
    Attention,
    Block,
    Layer,
    Resampler,
    Residual,
    Stem,
    unet_layout,
)
from fewstep.networks.adm.zeros import start_at_zero


class UNet(nn.Module):
    """A UNet over images (B, in_channels, H, W), conditioned on time and, where built so, labels.

    Ref: Dhariwal & Nichol 2021, sections 3 and appendix; Ho et al. 2020, appendix B.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        layout, width = unet_layout(config), config.embedding_channels
        self.config = config
        self.time_embed = nn.Sequential(
            nn.Linear(config.model_channels, width), nn.SiLU(), nn.Linear(width, width)
        )
        if config.num_classes is not None:
            self.label_emb = nn.Embedding(config.num_classes, width)
        self.input_blocks = block_list(layout.input_blocks, config)
        self.middle_block = block_module(layout.middle_block, config)
        self.output_blocks = block_list(layout.output_blocks, config)
        head = nn.Conv2d(layout.head_channels, config.out_channels, 3, padding=1)
        norm = nn.GroupNorm(config.norm_groups, layout.head_channels)
        self.out = nn.Sequential(norm, nn.SiLU(), start_at_zero(head))

    def forward(self, x: Tensor, timesteps: Tensor, y: Tensor | None = None) -> Tensor:
        """Predict (B, out_channels, H, W) from x, network times (B,) and labels (B,).

        Raises:
            InvalidInput: labels are missing for a conditional network, or given to another.
        """
        embedding = self._embed(timesteps, y)
        skips: list[Tensor] = []
        hidden = x
        for block in self.input_blocks:
            hidden = run_block(block, hidden, embedding)
            skips.append(hidden)
        hidden = run_block(self.middle_block, hidden, embedding)
        for block in self.output_blocks:
            hidden = run_block(block, torch.cat([hidden, skips.pop()], dim=1), embedding)
        predicted: Tensor = self.out(hidden)
        return predicted

    def _embed(self, timesteps: Tensor, y: Tensor | None) -> Tensor:
        if (y is None) != (self.config.num_classes is None):
            given = "no labels" if y is None else "labels"
            raise InvalidInput(
                f"{given} given to a network with num_classes={self.config.num_classes}: "
                "pass labels exactly when num_classes is set",
                field="labels",
            )
        sinusoids = timestep_embedding(timesteps, self.config.model_channels)
        embedding: Tensor = self.time_embed(sinusoids.to(next(self.parameters()).dtype))
        return embedding if y is None else embedding + self.label_emb(y)


def block_list(blocks: tuple[Block, ...], config: UNetConfig) -> nn.ModuleList:
    """The modules of a list of blocks."""
    return nn.ModuleList(block_module(block, config) for block in blocks)


def block_module(block: Block, config: UNetConfig) -> nn.Sequential:
    """The modules of one block, by their place in it."""
    return nn.Sequential(*(_module(layer, config) for layer in block))


def _module(layer: Layer, config: UNetConfig) -> nn.Module:
    match layer:
        case Stem():
            return nn.Conv2d(layer.in_channels, layer.out_channels, 3, padding=1)
        case Residual():
            return ResidualBlock(layer, config)
        case Attention():
            return AttentionBlock(
                layer,
                norm_groups=config.norm_groups,
                split_first=config.use_new_attention_order,
            )
        case Resampler():
            kind = Downsample if layer.resample == "down" else Upsample
            return kind(layer, convolve=config.conv_resample)
        case _:
            assert_never(layer)


def run_block(block: nn.Module, x: Tensor, embedding: Tensor) -> Tensor:
    """Run a block's layers in turn; only conditioned ones see the embedding."""
    for layer in block.children():
        x = layer(x, embedding) if isinstance(layer, Conditioned) else layer(x)
    return x
