"""Cutting layers for real: smaller tensors in a copy of a network that shares all the others."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from fewstep.errors import InvalidInput
from fewstep.networks.pruning.blocks import PrunableBlock
from fewstep.networks.pruning.cache import BodyCache, CachedBody, Recorder
from fewstep.networks.pruning.configuration import (
    BlockChoice,
    NetworkConfiguration,
    kept_channels,
)

AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class Surgery:
    """How the layers of one library are cut.

    Attributes:
        cut: Shrink a layer in place to what a choice keeps.
        without_body: The layer that is left; it adds a cached body where one is given.
        body_end: The module in a layer whose output is the body.
    """

    cut: Callable[[nn.Module, PrunableBlock, BlockChoice], None]
    without_body: Callable[[nn.Module, CachedBody | None], nn.Module]
    body_end: Callable[[nn.Module], nn.Module]


def operate(
    network: AnyNetwork,
    blocks: Sequence[PrunableBlock],
    configuration: NetworkConfiguration,
    *,
    surgery: Surgery,
    cache: BodyCache | None,
) -> AnyNetwork:
    """A copy of a network with every choice of a configuration carried out.

    Raises:
        InvalidInput: the configuration does not fit, or reuses bodies that nothing keeps.
    """
    configuration = configuration.normalised(blocks)
    _check_cache(configuration, cache)
    smaller = shared_copy(network)
    for block in blocks:
        choice = configuration.get(block.name)
        layer = smaller.get_submodule(block.name)
        if choice is not None and not choice.has_body:
            body = None
            if choice.mode == "reused" and cache is not None:
                body = CachedBody(cache, block.name)
            smaller.set_submodule(block.name, surgery.without_body(layer, body))
            continue
        if choice is not None:
            surgery.cut(layer, block, choice)
        if cache is not None and block.name in cache.names:
            end = surgery.body_end(layer)
            end.register_forward_hook(Recorder(cache, block.name))
    return smaller


def _check_cache(configuration: NetworkConfiguration, cache: BodyCache | None) -> None:
    kept = frozenset[str]() if cache is None else cache.names
    missing = sorted(configuration.reused - kept)
    if missing:
        raise InvalidInput(
            f"configuration.{missing[0]}.mode='reused': the cache does not keep this body; "
            f"allowed: {', '.join(sorted(kept)) or 'none without a cache'}",
            field="configuration",
        )


def shared_copy(network: AnyNetwork) -> AnyNetwork:
    """The same modules anew over the same storage: either may then be rebuilt alone."""
    shared: dict[int, object] = {id(buffer): buffer for buffer in network.buffers()}
    for parameter in network.parameters():
        shared[id(parameter)] = _parameter(parameter.detach(), like=parameter)
    return copy.deepcopy(network, shared)


def cut_residual(
    block: PrunableBlock,
    choice: BlockChoice,
    *,
    conv_in: nn.Module,
    embedding: nn.Module | None,
    norm: nn.Module,
    conv_out: nn.Module,
) -> None:
    """Keep some inner channels of two convolutions with a norm and an embedding between them.

    Group norms take statistics over whatever channels their groups have: without whole groups the
    others stay as they were, without some channels of each group all of them change.
    """
    channels = kept_channels(block, choice)
    keep_rows(conv_in, channels)
    if embedding is not None:  # scales, then shifts, where the norm has both
        parts = rows_of(embedding) // block.width
        keep_rows(embedding, in_parts(channels, parts=parts, stride=block.width))
    keep_norm(norm, channels, len(choice.kept) if choice.mode == "groups" else block.units)
    keep_columns(conv_out, channels)


def in_parts(indices: Sequence[int], *, parts: int, stride: int) -> list[int]:
    """The same indices in each of several parts that lie `stride` apart."""
    return [part * stride + index for part in range(parts) for index in indices]


def rows_of(layer: nn.Module) -> int:
    """Outputs of a convolution or linear layer."""
    assert isinstance(layer.weight, Tensor)
    return layer.weight.shape[0]


def keep_rows(layer: nn.Module, indices: Sequence[int]) -> None:
    """Keep some outputs of a convolution or linear layer, in place."""
    _keep(layer, "weight", indices, dim=0)
    _keep(layer, "bias", indices, dim=0)
    _set_size(layer, "out", len(indices))


def keep_columns(layer: nn.Module, indices: Sequence[int]) -> None:
    """Keep some inputs of a convolution or linear layer, in place."""
    _keep(layer, "weight", indices, dim=1)
    _set_size(layer, "in", len(indices))


def keep_norm(norm: nn.Module, indices: Sequence[int], num_groups: int) -> None:
    """Keep some channels of a group norm, in place."""
    assert isinstance(norm, nn.GroupNorm)
    _keep(norm, "weight", indices, dim=0)
    _keep(norm, "bias", indices, dim=0)
    norm.num_channels, norm.num_groups = len(indices), num_groups


def _set_size(layer: nn.Module, side: str, size: int) -> None:
    setattr(layer, f"{side}_features" if isinstance(layer, nn.Linear) else f"{side}_channels", size)


def _keep(layer: nn.Module, name: str, indices: Sequence[int], *, dim: int) -> None:
    tensor = getattr(layer, name)
    if tensor is not None:
        setattr(layer, name, _parameter(_selected(tensor.detach(), indices, dim), like=tensor))


def _selected(tensor: Tensor, indices: Sequence[int], dim: int) -> Tensor:
    """A view where rows follow one another, else a contiguous copy."""
    if dim == 0 and indices[-1] - indices[0] + 1 == len(indices):
        return tensor.narrow(0, indices[0], len(indices))
    return tensor.index_select(dim, torch.tensor(indices, device=tensor.device))


def _parameter(tensor: Tensor, *, like: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor, requires_grad=like.requires_grad)
