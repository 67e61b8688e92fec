"""The ADM encoder: keys, shapes and outputs of guided-diffusion's `EncoderUNetModel`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fewstep.errors import InvalidInput
from fewstep.networks.adm.embedding import timestep_embedding
from fewstep.networks.adm.encoder_config import SPATIAL_WIDTH, EncoderConfig
from fewstep.networks.adm.layout import encoder_layout
from fewstep.networks.adm.pooling import AttentionPool
from fewstep.networks.adm.unet import block_list, block_module, run_block
from fewstep.networks.adm.zeros import start_at_zero


class Encoder(nn.Module):
    """Half a UNet over noisy images, pooled to logits: the noisy classifier of guided-diffusion.

    Ref: Dhariwal & Nichol 2021, section 4 and appendix H.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        layout, torso = encoder_layout(config), config.torso
        width = torso.embedding_channels
        self.config = config
        self.time_embed = nn.Sequential(
            nn.Linear(config.model_channels, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.input_blocks = block_list(layout.input_blocks, torso)
        self.middle_block = block_module(layout.middle_block, torso)
        self.out = (
            _spatial_head(sum(layout.block_channels), config)
            if config.pool in ("spatial", "spatial_v2")
            else _pooled_head(layout.out_channels, config)
        )

    def forward(self, x: Tensor, timesteps: Tensor) -> Tensor:
        """Logits (B, out_channels) of images (B, in_channels, H, W) at network times (B,).

        Raises:
            InvalidInput: attention pooling was made for images of another size.
        """
        self._check_size(x)
        sinusoids = timestep_embedding(timesteps, self.config.model_channels)
        embedding = self.time_embed(sinusoids.to(next(self.parameters()).dtype))
        hidden, means = x, []
        for block in (*self.input_blocks, self.middle_block):
            hidden = run_block(block, hidden, embedding)
            means.append(hidden.mean(dim=(2, 3)))
        is_spatial = self.config.pool in ("spatial", "spatial_v2")
        logits: Tensor = self.out(torch.cat(means, dim=1) if is_spatial else hidden)
        return logits

    def _check_size(self, x: Tensor) -> None:
        side = self.config.image_size
        if self.config.pool == "attention" and tuple(x.shape[2:]) != (side, side):
            raise InvalidInput(
                f"image sides={tuple(x.shape[2:])}: pool='attention' was made for image_size="
                f"{side}; allowed: {side} by {side}",
                field="architecture",
            )


def _pooled_head(channels: int, config: EncoderConfig) -> nn.Sequential:
    """Logits from the last feature map."""
    norm = nn.GroupNorm(config.norm_groups, channels)
    if config.pool == "adaptive":
        last = start_at_zero(nn.Conv2d(channels, config.out_channels, 1))
        return nn.Sequential(norm, nn.SiLU(), nn.AdaptiveAvgPool2d(1), last, nn.Flatten())
    assert config.num_head_channels is not None  # the configuration asks for it
    pool = AttentionPool(
        channels=channels,
        side=config.pooled_side,
        head_channels=config.num_head_channels,
        out_channels=config.out_channels,
    )
    return nn.Sequential(norm, nn.SiLU(), pool)


def _spatial_head(features: int, config: EncoderConfig) -> nn.Sequential:
    """Logits from the means of every block's output."""
    first = nn.Linear(features, SPATIAL_WIDTH)
    last = nn.Linear(SPATIAL_WIDTH, config.out_channels)
    if config.pool == "spatial":
        return nn.Sequential(first, nn.ReLU(), last)
    norm = nn.GroupNorm(config.norm_groups, SPATIAL_WIDTH)
    return nn.Sequential(first, norm, nn.SiLU(), last)
