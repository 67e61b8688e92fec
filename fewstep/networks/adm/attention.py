"""Self-attention over the pixels of a feature map, as in the ADM checkpoints."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from fewstep.networks.adm.layout import Attention
from fewstep.networks.adm.zeros import start_at_zero


class AttentionBlock(nn.Module):
    """`x + proj_out(attention(norm(x)))` on (B, C, H, W).

    The fused `qkv` holds q, k, v of head 1, then of head 2, ...; with `split_first` all of q,
    then all of k, then all of v.
    """

    def __init__(self, layer: Attention, *, norm_groups: int, split_first: bool) -> None:
        super().__init__()
        self.num_heads = layer.num_heads
        self.split_first = split_first
        self.norm = nn.GroupNorm(norm_groups, layer.channels)
        self.qkv = nn.Conv1d(layer.channels, 3 * layer.channels, 1)
        self.proj_out = start_at_zero(nn.Conv1d(layer.channels, layer.channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Attend among all pixels of each image."""
        pixels = x.flatten(2)
        query, key, value = self._split(self.qkv(self.norm(pixels)))
        attended = scaled_dot_product_attention(query, key, value)  # scale 1/sqrt(head width)
        # Heads may have been cut off: their widths add up to what proj_out reads, not to channels.
        mixed: Tensor = self.proj_out(attended.transpose(2, 3).flatten(1, 2))
        return (pixels + mixed).reshape(x.shape)

    def _split(self, qkv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value, each (B, heads, pixels, head width)."""
        batch, _, pixels = qkv.shape
        if self.split_first:
            parts = qkv.reshape(batch, 3, self.num_heads, -1, pixels)
        else:
            parts = qkv.reshape(batch, self.num_heads, 3, -1, pixels).transpose(1, 2)
        query, key, value = parts.transpose(3, 4).unbind(1)
        return query, key, value
