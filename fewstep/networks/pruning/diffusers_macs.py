"""What a diffusers UNet costs under a configuration: one call without numbers, counted by hooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from fewstep.errors import InvalidInput
from fewstep.networks.pruning.blocks import PrunableBlock
from fewstep.networks.pruning.configuration import BlockChoice, NetworkConfiguration
from fewstep.networks.pruning.cutting import rows_of
from fewstep.networks.pruning.diffusers_unets import (
    diffusers_blocks,
    is_plain_attention,
    sliced_diffusers,
)
from fewstep.networks.pruning.macs import Cost, NetworkCost

if TYPE_CHECKING:  # optional, and imported by whoever made the network
    from diffusers.models.attention_processor import Attention
    from diffusers.models.unets.unet_2d import UNet2DModel

# Their filters are plain tensors handed to functions, out of sight of hooks.
_UNSEEN = ("FirUpsample2D", "FirDownsample2D", "KUpsample2D", "KDownsample2D")


def diffusers_macs(
    network: nn.Module,
    configuration: NetworkConfiguration,
    image_size: int | tuple[int, int],
    *,
    text_tokens: int = 77,
    inputs: Mapping[str, object] | None = None,
) -> NetworkCost:
    """Count convolutions, linear layers and attention products of one call with one image.

    The network runs on torch's meta device: shapes alone, no memory and no arithmetic.

    Args:
        network: a `UNet2DModel` or `UNet2DConditionModel`.
        configuration: what of it runs.
        image_size: side of what the network sees, such as latents, or height and width.
        text_tokens: length of the text that cross-attention reads.
        inputs: further arguments of the call, on the meta device, where the network needs more
            than states, times, text and labels.

    Raises:
        MissingExtra: diffusers is not installed.
        InvalidInput: the configuration does not fit, or a resampler cannot be counted.
    """
    blocks = diffusers_blocks(network)
    _check_is_countable(network)
    smaller = sliced_diffusers(network, _without_reuse(configuration)).to("meta")
    counter = _Counter(smaller, blocks)
    with torch.no_grad():
        smaller(**_inputs(smaller, image_size, text_tokens), **(inputs or {}))
    return NetworkCost(counter.parts)


class _Counter:
    """Adds up the cost of every layer under the name of its block, or its own."""

    def __init__(self, network: nn.Module, blocks: Sequence[PrunableBlock]) -> None:
        self.parts: dict[str, Cost] = {}
        self._blocks = frozenset(block.name for block in blocks)
        for name, parameter in network.named_parameters():
            self._add(name.rpartition(".")[0], Cost(parameters=parameter.numel()))
        for name, layer in network.named_modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                layer.register_forward_hook(partial(self._count_layer, name))
            elif _is_attention(layer):
                layer.register_forward_hook(partial(self._count_products, name), with_kwargs=True)

    def _count_layer(self, name: str, layer: nn.Module, _: object, output: Tensor) -> None:
        """Each output number takes one row of weights."""
        assert isinstance(layer.weight, Tensor)
        self._add(name, Cost(output.numel() * layer.weight[0].numel()))

    def _count_products(
        self,
        name: str,
        layer: nn.Module,
        inputs: tuple[Tensor, ...],
        named: Mapping[str, Tensor | None],
        output: Tensor,
    ) -> None:
        """Of queries with keys, and of weights with values."""
        queries = output.numel() // output.shape[1 if output.dim() == 4 else 2]
        text = inputs[1] if len(inputs) > 1 else named.get("encoder_hidden_states")
        keys = queries if text is None else text.shape[1]
        self._add(name, Cost(2 * queries * keys * rows_of(layer.get_submodule("to_q"))))

    def _add(self, name: str, cost: Cost) -> None:
        parts = name.split(".")
        paths = (".".join(parts[:end]) for end in range(1, len(parts)))
        owner = next((path for path in paths if path in self._blocks), name)
        self.parts[owner] = self.parts.get(owner, Cost()) + cost


def _check_is_countable(network: nn.Module) -> None:
    for layer in network.modules():
        kind = type(layer).__name__
        is_tied = _is_attention(layer) and not is_plain_attention(cast("Attention", layer))
        if kind in _UNSEEN or is_tied:
            raise InvalidInput(
                f"network: holds {kind}, whose arithmetic is not counted here; allowed: none of "
                f"{', '.join(_UNSEEN)} and attentions with torch's own processor alone",
                field="network",
            )


def _is_attention(layer: nn.Module) -> bool:
    from diffusers.models.attention_processor import Attention

    return isinstance(layer, Attention)


def _without_reuse(configuration: NetworkConfiguration) -> NetworkConfiguration:
    """A body that is read costs what one that is removed costs."""
    removed = {name: BlockChoice("removed") for name in configuration.reused}
    return NetworkConfiguration.of({**dict(configuration.choices), **removed})


def _inputs(
    network: nn.Module, image_size: int | tuple[int, int], text_tokens: int
) -> dict[str, Tensor]:
    """Arguments of one call, as shapes."""
    config = dict(cast("UNet2DModel", network).config)
    sides = (image_size, image_size) if isinstance(image_size, int) else image_size
    dtype = next(network.parameters()).dtype
    states = torch.empty(1, config["in_channels"], *sides, dtype=dtype, device="meta")
    inputs = {"sample": states, "timestep": torch.empty(1, device="meta")}
    if "cross_attention_dim" in config:
        text = (1, text_tokens, config["cross_attention_dim"])
        inputs["encoder_hidden_states"] = torch.empty(*text, dtype=dtype, device="meta")
    if isinstance(network.class_embedding, nn.Embedding):
        inputs["class_labels"] = torch.zeros(1, dtype=torch.long, device="meta")
    return inputs
