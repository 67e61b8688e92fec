"""Names and shapes of the tensors of ADM networks, without torch: for checks of checkpoints."""

from __future__ import annotations

from fewstep.networks.adm.config import UNetConfig
from fewstep.networks.adm.encoder_config import SPATIAL_WIDTH, EncoderConfig
from fewstep.networks.adm.layout import (
    Attention,
    Block,
    EncoderLayout,
    Layer,
    Resampler,
    Residual,
    Stem,
    encoder_layout,
    unet_layout,
)

Shapes = dict[str, tuple[int, ...]]


def tensor_shapes(config: UNetConfig) -> Shapes:
    """The `state_dict` of `UNet(config)` as {name: shape}."""
    layout = unet_layout(config)
    table = _torso(layout.input_blocks, layout.middle_block, config)
    for index, block in enumerate(layout.output_blocks):
        table |= _block(f"output_blocks.{index}", block, config)
    table |= _norm("out.0", layout.head_channels)
    return table | _affine("out.2", config.out_channels, layout.head_channels, 3, 3)


def encoder_tensor_shapes(config: EncoderConfig) -> Shapes:
    """The `state_dict` of `Encoder(config)` as {name: shape}."""
    layout = encoder_layout(config)
    table = _torso(layout.input_blocks, layout.middle_block, config.torso)
    return table | _encoder_head(layout, config)


def _encoder_head(layout: EncoderLayout, config: EncoderConfig) -> Shapes:
    channels, classes = layout.out_channels, config.out_channels
    match config.pool:
        case "adaptive":
            return _norm("out.0", channels) | _affine("out.3", classes, channels, 1, 1)
        case "attention":
            places = config.pooled_side**2 + 1  # the mean has a place of its own
            table = _norm("out.0", channels)
            table["out.2.positional_embedding"] = (channels, places)
            table |= _affine("out.2.qkv_proj", 3 * channels, channels, 1)
            return table | _affine("out.2.c_proj", classes, channels, 1)
        case "spatial":
            last, norm = "out.2", {}
        case "spatial_v2":
            last, norm = "out.3", _norm("out.1", SPATIAL_WIDTH)
    table = _affine("out.0", SPATIAL_WIDTH, sum(layout.block_channels))
    return table | norm | _affine(last, classes, SPATIAL_WIDTH)


def _torso(input_blocks: tuple[Block, ...], middle_block: Block, config: UNetConfig) -> Shapes:
    """Embeddings and blocks down to the middle."""
    width = config.embedding_channels
    table = _affine("time_embed.0", width, config.model_channels)
    table |= _affine("time_embed.2", width, width)
    if config.num_classes is not None:
        table["label_emb.weight"] = (config.num_classes, width)
    for index, block in enumerate(input_blocks):
        table |= _block(f"input_blocks.{index}", block, config)
    return table | _block("middle_block", middle_block, config)


def _block(prefix: str, block: Block, config: UNetConfig) -> Shapes:
    table: Shapes = {}
    for index, layer in enumerate(block):
        table |= _layer(f"{prefix}.{index}", layer, config)
    return table


def _layer(prefix: str, layer: Layer, config: UNetConfig) -> Shapes:
    match layer:
        case Stem():
            return _affine(prefix, layer.out_channels, layer.in_channels, 3, 3)
        case Residual():
            return _residual(prefix, layer, config)
        case Attention():
            return _attention(prefix, layer.channels)
        case Resampler():
            return _resampler(prefix, layer, config)


def _residual(prefix: str, layer: Residual, config: UNetConfig) -> Shapes:
    inner = layer.inner_channels
    modulation = 2 * inner if config.use_scale_shift_norm else inner
    table = _norm(f"{prefix}.in_layers.0", layer.in_channels)
    table |= _affine(f"{prefix}.in_layers.2", inner, layer.in_channels, 3, 3)
    table |= _affine(f"{prefix}.emb_layers.1", modulation, config.embedding_channels)
    table |= _norm(f"{prefix}.out_layers.0", inner)
    table |= _affine(f"{prefix}.out_layers.3", layer.out_channels, inner, 3, 3)
    if layer.in_channels != layer.out_channels:
        shortcut = (layer.out_channels, layer.in_channels, 1, 1)
        table |= _affine(f"{prefix}.skip_connection", *shortcut)
    return table


def _attention(prefix: str, channels: int) -> Shapes:
    table = _norm(f"{prefix}.norm", channels)
    table |= _affine(f"{prefix}.qkv", 3 * channels, channels, 1)
    return table | _affine(f"{prefix}.proj_out", channels, channels, 1)


def _resampler(prefix: str, layer: Resampler, config: UNetConfig) -> Shapes:
    if not config.conv_resample:
        return {}
    name = "op" if layer.resample == "down" else "conv"
    return _affine(f"{prefix}.{name}", layer.channels, layer.channels, 3, 3)


def _affine(prefix: str, rows: int, *rest: int) -> Shapes:
    return {f"{prefix}.weight": (rows, *rest), f"{prefix}.bias": (rows,)}


def _norm(prefix: str, channels: int) -> Shapes:
    return {f"{prefix}.weight": (channels,), f"{prefix}.bias": (channels,)}
