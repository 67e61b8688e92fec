"""Blocks of diffusers' UNets, and the smaller network that a configuration leaves of one.

For `UNet2DModel` and `UNet2DConditionModel`. Their resnets, attentions and feed-forwards are
blocks. Bodies of other classes and those with adapters in them always run in full.
Needs the package `diffusers` (extra: `diffusers`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from fewstep.errors import InvalidInput, MissingExtra
from fewstep.networks.pruning.blocks import PrunableBlock
from fewstep.networks.pruning.cache import BodyCache, CachedBody
from fewstep.networks.pruning.configuration import (
    BlockChoice,
    NetworkConfiguration,
    kept_channels,
)
from fewstep.networks.pruning.cutting import (
    AnyNetwork,
    Surgery,
    cut_residual,
    in_parts,
    keep_columns,
    keep_rows,
    operate,
    rows_of,
)

if TYPE_CHECKING:  # optional, and imported by whoever made the network
    from diffusers.models.attention import FeedForward
    from diffusers.models.attention_processor import Attention
    from diffusers.models.resnet import ResnetBlock2D

_STAGES = {"down_blocks": 0, "mid_block": 1, "up_blocks": 2}
_LAST = 1_000_000  # beyond the layers of any stage
# Adapters bring processors that hold weights per head.
_PLAIN_PROCESSORS = ("AttnProcessor", "AttnProcessor2_0", "XFormersAttnProcessor")


def diffusers_blocks(network: nn.Module) -> tuple[PrunableBlock, ...]:
    """All blocks of a diffusers UNet in execution order.

    Raises:
        MissingExtra: diffusers is not installed.
        InvalidInput: another network, or one that runs its feed-forwards in chunks.
    """
    _check_class(network)
    found = [
        (_place(network, name), block)
        for name, layer in network.named_modules()
        if name.startswith(tuple(_STAGES)) and (block := _prunable(name, layer)) is not None
    ]
    return tuple(block for _, block in sorted(found, key=lambda pair: pair[0]))


def sliced_diffusers(
    network: AnyNetwork, configuration: NetworkConfiguration, *, cache: BodyCache | None = None
) -> AnyNetwork:
    """The network that a configuration leaves; the original is not touched, as `sliced` does.

    Raises:
        MissingExtra: diffusers is not installed.
        InvalidInput: the configuration does not fit the network, or bodies are reused that the
            cache does not keep.
    """
    blocks = diffusers_blocks(network)
    return operate(network, blocks, configuration, surgery=_SURGERY, cache=cache)


class EmptiedResnet(nn.Module):
    """A resnet's resampling and shortcut, plus a body kept from before where there is one."""

    def __init__(self, block: ResnetBlock2D, body: CachedBody | None) -> None:
        super().__init__()
        # Functions where the kernel is a fixed filter, modules elsewhere.
        self.resample = block.upsample or block.downsample or nn.Identity()
        self.conv_shortcut = block.conv_shortcut or nn.Identity()
        self.output_scale_factor: float = block.output_scale_factor
        self._body = body

    def forward(self, input_tensor: Tensor, temb: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Map (B, C_in, H, W) to (B, C_out, H', W'); the embedding acts on bodies alone."""
        shortcut: Tensor = self.conv_shortcut(self.resample(input_tensor))
        total = shortcut if self._body is None else self._body.add_to(shortcut)
        return total / self.output_scale_factor


class EmptiedBranch(nn.Module):
    """An attention or feed-forward that adds nothing, or what it added before.

    Attentions of `UNet2DModel` have their shortcut inside; those of transformers and feed-forwards
    put out their body alone, and their owner adds it.
    """

    def __init__(self, layer: nn.Module, body: CachedBody | None) -> None:
        super().__init__()
        self.has_shortcut = bool(getattr(layer, "residual_connection", False))
        self.rescale_output_factor = float(getattr(layer, "rescale_output_factor", 1.0))
        self._body = body

    def forward(self, hidden_states: Tensor, *_: object, **__: object) -> Tensor:
        """Map pixels (B, C, H, W) or tokens (B, L, C) to the same shape."""
        x = hidden_states
        tokens = x.flatten(2).transpose(1, 2) if x.dim() == 4 else x  # as bodies are kept
        total = tokens if self.has_shortcut else torch.zeros_like(tokens)
        if self._body is not None:
            total = self._body.add_to(total)
        if x.dim() == 4:
            total = total.transpose(1, 2).reshape(x.shape)
        return total / self.rescale_output_factor


def _check_class(network: nn.Module) -> None:
    try:
        from diffusers.models.unets.unet_2d import UNet2DModel
        from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    except ImportError as error:
        raise MissingExtra(
            "diffusers is not installed; install it with: pip install 'fewstep[diffusers]'"
        ) from error
    if not isinstance(network, UNet2DModel | UNet2DConditionModel):
        raise InvalidInput(
            f"network={type(network).__name__}: not a network that is cut here; allowed: "
            "UNet2DModel, UNet2DConditionModel",
            field="network",
        )
    if any(getattr(layer, "_chunk_size", None) for layer in network.modules()):
        raise InvalidInput(
            "network: its feed-forwards run in chunks, whose bodies are never whole; allowed: "
            "whole ones; call set_chunk_feed_forward(None, 0) of its transformer blocks",
            field="network",
        )


def _place(network: nn.Module, name: str) -> tuple[int, ...]:
    """Where a block runs: resnets take turns with attentions, resampling resnets come last."""
    stage, *path = name.split(".")
    number = int(path.pop(0)) if path[0].isdigit() else 0
    if path[0] not in ("resnets", "attentions"):
        return (_STAGES[stage], number, _LAST)
    turn = 2 * int(path[1]) + (path[0] == "attentions")
    if path[0] == "attentions" and stage == "up_blocks":
        owner = network.get_submodule(f"{stage}.{number}")
        turn = _LAST - 1 if type(owner).__name__ == "AttnSkipUpBlock2D" else turn
    order = {"attn1": 0, "attn2": 1, "ff": 2}  # the layers of a transformer
    inside = (int(part) if part.isdigit() else order.get(part, 0) for part in path[2:])
    return (_STAGES[stage], number, turn, *inside)


def _prunable(name: str, layer: nn.Module) -> PrunableBlock | None:
    """Classes are compared exactly: what a subclass does with its tensors is its own."""
    from diffusers.models.attention import FeedForward
    from diffusers.models.attention_processor import Attention
    from diffusers.models.resnet import ResnetBlock2D

    if type(layer) is ResnetBlock2D:
        return _resnet(name, layer)
    if type(layer) is Attention:
        return _attention(name, layer)
    return _feed_forward(name, layer) if type(layer) is FeedForward else None


def _resnet(name: str, layer: ResnetBlock2D) -> PrunableBlock | None:
    if not _are_plain(layer.conv1, layer.conv2, layer.time_emb_proj):
        return None
    groups = layer.norm2.num_groups
    width = layer.norm2.num_channels // groups
    return PrunableBlock(name=name, kind="residual", units=groups, unit_width=width)


def _attention(name: str, layer: Attention) -> PrunableBlock | None:
    if not is_plain_attention(layer):
        return None
    return PrunableBlock(
        name=name,
        kind="attention",
        units=layer.heads,
        unit_width=layer.inner_dim // layer.heads,
        can_be_removed=layer.out_dim == layer.query_dim,
    )


def is_plain_attention(layer: Attention) -> bool:
    """Whether no tensors are tied across heads, shared among them, fused or adapted."""
    extras = (layer.spatial_norm, layer.norm_q, layer.norm_k, layer.add_k_proj)
    is_tied = layer.fused_projections or layer.inner_kv_dim != layer.inner_dim
    is_known = type(layer.processor).__name__ in _PLAIN_PROCESSORS and layer.to_out is not None
    if any(extra is not None for extra in extras) or is_tied or not is_known:
        return False
    return _are_plain(layer.to_q, layer.to_k, layer.to_v, layer.get_submodule("to_out.0"))


def _feed_forward(name: str, layer: FeedForward) -> PrunableBlock | None:
    into, out = layer.get_submodule("net.0.proj"), layer.get_submodule("net.2")
    if type(into) is not nn.Linear or type(out) is not nn.Linear:
        return None
    return PrunableBlock(
        name=name,
        kind="feed-forward",
        units=out.in_features,
        unit_width=1,
        can_be_removed=into.in_features == out.out_features,
    )


def _are_plain(*layers: nn.Module | None) -> bool:
    """Whether layers are torch's own: adapters wrap them or derive from them."""
    return all(layer is None or type(layer) in (nn.Linear, nn.Conv2d) for layer in layers)


def _cut(layer: nn.Module, block: PrunableBlock, choice: BlockChoice) -> None:
    match block.kind:
        case "residual":
            _cut_resnet(cast("ResnetBlock2D", layer), block, choice)
        case "attention":
            _cut_heads(cast("Attention", layer), block, choice)
        case "feed-forward":
            _cut_hidden(layer, block, choice)


def _cut_resnet(layer: ResnetBlock2D, block: PrunableBlock, choice: BlockChoice) -> None:
    cut_residual(
        block,
        choice,
        conv_in=layer.conv1,
        embedding=layer.time_emb_proj,
        norm=layer.norm2,
        conv_out=layer.conv2,
    )


def _cut_heads(layer: Attention, block: PrunableBlock, choice: BlockChoice) -> None:
    """Heads leave whole: their width, and the scale made from it, stay."""
    channels = kept_channels(block, choice)
    for projection in (layer.to_q, layer.to_k, layer.to_v):
        keep_rows(projection, channels)
    keep_columns(layer.get_submodule("to_out.0"), channels)
    layer.heads = layer.sliceable_head_dim = len(choice.kept)
    layer.inner_dim = layer.inner_kv_dim = len(channels)


def _cut_hidden(layer: nn.Module, block: PrunableBlock, choice: BlockChoice) -> None:
    """A gated unit has a row among the values and one among the gates."""
    projection = layer.get_submodule("net.0.proj")
    parts = rows_of(projection) // block.width
    keep_rows(projection, in_parts(choice.kept, parts=parts, stride=block.width))
    keep_columns(layer.get_submodule("net.2"), choice.kept)


def _without_body(layer: nn.Module, body: CachedBody | None) -> nn.Module:
    from diffusers.models.resnet import ResnetBlock2D

    return (
        EmptiedResnet(layer, body) if type(layer) is ResnetBlock2D else EmptiedBranch(layer, body)
    )


def _body_end(layer: nn.Module) -> nn.Module:
    """The module that puts out the body, a dropout behind it included."""
    from diffusers.models.attention_processor import Attention
    from diffusers.models.resnet import ResnetBlock2D

    if type(layer) is ResnetBlock2D:
        return layer.conv2
    parts = layer.get_submodule("to_out" if type(layer) is Attention else "net")
    return list(parts.children())[-1]


_SURGERY = Surgery(cut=_cut, without_body=_without_body, body_end=_body_end)
