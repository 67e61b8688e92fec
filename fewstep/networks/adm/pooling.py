"""Attention pooling: one query, the mean of a feature map, looks at all its pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class AttentionPool(nn.Module):
    """Pool (B, C, side, side) to (B, out_channels).

    Ref: Radford et al. 2021 (CLIP), section 2.4; as in guided-diffusion, keys included.
    """

    def __init__(self, *, channels: int, side: int, head_channels: int, out_channels: int) -> None:
        super().__init__()
        self.num_heads = channels // head_channels
        start = torch.randn(channels, side**2 + 1) / channels**0.5
        self.positional_embedding = nn.Parameter(start)
        self.qkv_proj = nn.Conv1d(channels, 3 * channels, 1)
        self.c_proj = nn.Conv1d(channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Attend from the mean to the mean and all pixels."""
        pixels = x.flatten(2)
        tokens = torch.cat([pixels.mean(dim=2, keepdim=True), pixels], dim=2)
        qkv = self.qkv_proj(tokens + self.positional_embedding)
        # Rows are (q|k|v, head, width).
        query, key, value = qkv.unflatten(1, (3, self.num_heads, -1)).transpose(3, 4).unbind(1)
        pooled = scaled_dot_product_attention(query[:, :, :1], key, value)  # (B, heads, 1, width)
        logits: Tensor = self.c_proj(pooled.transpose(2, 3).flatten(1, 2))
        return logits[:, :, 0]
