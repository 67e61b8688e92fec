"""An ADM UNet under a configuration: a smaller network, not a masked one."""

from __future__ import annotations

from torch import Tensor, nn

from fewstep.errors import InvalidInput
from fewstep.networks.adm.attention import AttentionBlock
from fewstep.networks.adm.blocks import Conditioned, ResidualBlock, resize
from fewstep.networks.adm.shapes import tensor_shapes
from fewstep.networks.adm.unet import UNet
from fewstep.networks.pruning.blocks import PrunableBlock, adm_blocks
from fewstep.networks.pruning.cache import BodyCache, CachedBody
from fewstep.networks.pruning.configuration import (
    BlockChoice,
    NetworkConfiguration,
    kept_channels,
)
from fewstep.networks.pruning.cutting import (
    Surgery,
    cut_residual,
    in_parts,
    keep_columns,
    keep_rows,
    operate,
    rows_of,
)


def sliced(
    network: UNet, configuration: NetworkConfiguration, *, cache: BodyCache | None = None
) -> UNet:
    """The network that a configuration leaves; the original is not touched.

    Tensors that are not cut are shared with the original, and so are rows that follow one another:
    whoever writes into either writes into both.

    Args:
        network: the full one.
        configuration: what of it runs.
        cache: keeps bodies between calls; needed where some are reused. Every configuration of the
            batch takes the same one: those that run such a body write it there.

    Raises:
        InvalidInput: the configuration does not fit the network, the network was cut before, or
            bodies are reused that the cache does not keep.
    """
    check_full(network)
    return operate(
        network, adm_blocks(network.config), configuration, surgery=_SURGERY, cache=cache
    )


def check_full(network: UNet) -> None:
    """Refuse a network that was cut before.

    Raises:
        InvalidInput: its tensors are not those of its config.
    """
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    if shapes != tensor_shapes(network.config):
        raise InvalidInput(
            "network: its tensors are not those of its config; allowed: a full network, not one "
            "that was cut before",
            field="network",
        )


def end_of_body(block: PrunableBlock) -> str:
    """Path of the layer that reads the units of an ADM block; what it puts out is the body."""
    return f"{block.name}.{'proj_out' if block.kind == 'attention' else 'out_layers.3'}"


class EmptiedResidual(Conditioned):
    """A residual block's resampling and shortcut, and what stands in for its body.

    That is the body kept from before where there is one, or a constant for each of `width`
    channels where a repair gave a `mean`. Ref: Li et al. 2023 (AutoDiffusion).
    """

    def __init__(self, block: ResidualBlock, body: CachedBody | None) -> None:
        super().__init__()
        self.resample, self.skip_connection = block.resample, block.skip_connection
        self.width = rows_of(block.get_submodule("out_layers.3"))
        self.body = body
        self.mean: nn.Parameter | None
        self.register_parameter("mean", None)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:  # noqa: ARG002
        """Map (B, C_in, H, W) to (B, C_out, H', W'); the embedding acts on bodies alone."""
        shortcut: Tensor = self.skip_connection(resize(x, self.resample))
        if self.mean is not None:
            shortcut = shortcut + self.mean[:, None, None]
        return shortcut if self.body is None else self.body.add_to(shortcut)


class EmptiedAttention(nn.Module):
    """The input, and what stands in for its body, as in `EmptiedResidual`."""

    def __init__(self, block: AttentionBlock, body: CachedBody | None) -> None:
        super().__init__()
        self.width = rows_of(block.proj_out)
        self.body = body
        self.mean: nn.Parameter | None
        self.register_parameter("mean", None)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        if self.mean is not None:
            x = x + self.mean[:, None, None]
        return x if self.body is None else self.body.add_to(x.flatten(2)).reshape(x.shape)


def _cut(layer: nn.Module, block: PrunableBlock, choice: BlockChoice) -> None:
    if isinstance(layer, AttentionBlock):
        _cut_attention(layer, block, choice)
        return
    assert isinstance(layer, ResidualBlock)
    cut_residual(
        block,
        choice,
        conv_in=layer.in_layers[2],
        embedding=layer.emb_layers[1],
        norm=layer.out_layers[0],
        conv_out=layer.out_layers[3],
    )


def _cut_attention(layer: AttentionBlock, block: PrunableBlock, choice: BlockChoice) -> None:
    """Heads leave whole, so their width and with it the scale of the products stays."""
    channels = kept_channels(block, choice)
    if layer.split_first:
        rows = in_parts(channels, parts=3, stride=block.width)
    else:  # q, k and v of one head lie together
        slab = 3 * block.unit_width
        rows = [head * slab + row for head in choice.kept for row in range(slab)]
    keep_rows(layer.qkv, rows)
    keep_columns(layer.proj_out, channels)
    layer.num_heads = len(choice.kept)


def _without_body(layer: nn.Module, body: CachedBody | None) -> nn.Module:
    if isinstance(layer, ResidualBlock):
        return EmptiedResidual(layer, body)
    assert isinstance(layer, AttentionBlock)
    return EmptiedAttention(layer, body)


def _body_end(layer: nn.Module) -> nn.Module:
    end = (
        layer.proj_out if isinstance(layer, AttentionBlock) else layer.get_submodule("out_layers.3")
    )
    assert isinstance(end, nn.Module)
    return end


_SURGERY = Surgery(cut=_cut, without_body=_without_body, body_end=_body_end)
