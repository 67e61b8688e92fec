"""How much each unit of a block matters, from weights and from moments of activations.

Scores are float64, higher for what matters more, and comparable within a block alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fewstep.networks.adm.attention import AttentionBlock
from fewstep.networks.adm.unet import UNet
from fewstep.networks.pruning.blocks import PrunableBlock, adm_blocks
from fewstep.networks.pruning.calibration import Calibration
from fewstep.networks.pruning.cutting import in_parts
from fewstep.networks.pruning.least_squares import (
    check_ridge,
    columns_of,
    regularised_covariance,
    weight_by_moments,
)
from fewstep.networks.pruning.moments import FloatArray, Moments
from fewstep.networks.pruning.slicing import check_full, end_of_body

# By block name, one number for each unit: (units,), or (channels,) where single ones are scored.
Scores = Mapping[str, FloatArray]
# "units": groups and heads. "channels": single inner channels of residual blocks, heads of others.
Granularity = Literal["units", "channels"]


@dataclass(frozen=True, slots=True)
class CoupledSlice:
    """What of one tensor leaves with each unit.

    Attributes:
        tensor: Its state-dict name.
        dim: The dimension that is cut: 0 for rows, 1 for columns.
        places: Indices along it, (units, slices of each).
    """

    tensor: str
    dim: int
    places: npt.NDArray[np.int64]


def channels_by_unit(block: PrunableBlock, granularity: Granularity) -> npt.NDArray[np.int64]:
    """Inner channels of each unit, (units, channels of each)."""
    is_single = granularity == "channels" and block.kind == "residual"
    return np.arange(block.width).reshape(block.width if is_single else block.units, -1)


def coupled_slices(
    network: UNet, block: PrunableBlock, granularity: Granularity = "units"
) -> tuple[CoupledSlice, ...]:
    """Everything that is cut with a unit of a block, tensor by tensor."""
    channels = channels_by_unit(block, granularity)
    layer = network.get_submodule(block.name)
    if isinstance(layer, AttentionBlock):
        slab = 3 * block.unit_width  # q, k and v of one head lie together
        rows = np.arange(block.units * slab).reshape(block.units, slab)
        if layer.split_first:
            rows = _in_parts(channels, parts=3, stride=block.width)
        return (
            *_rows(f"{block.name}.qkv", rows),
            CoupledSlice(f"{block.name}.proj_out.weight", 1, channels),
        )
    parts = 2 if network.config.use_scale_shift_norm else 1  # scales, then shifts
    modulation = _in_parts(channels, parts=parts, stride=block.width)
    return (
        *_rows(f"{block.name}.in_layers.2", channels),
        *_rows(f"{block.name}.emb_layers.1", modulation),
        *_rows(f"{block.name}.out_layers.0", channels),
        CoupledSlice(f"{block.name}.out_layers.3.weight", 1, channels),
    )


def summed_by_unit(
    network: UNet,
    block: PrunableBlock,
    value: Callable[[str, Tensor], Tensor],
    granularity: Granularity = "units",
) -> FloatArray:
    """Sum a value of every weight over all slices of each unit: (units,), float64.

    Args:
        network: the full one.
        block: of it.
        value: from the name and values of a tensor to a tensor of the same shape.
        granularity: what a unit is.
    """
    tensors, sums = network.state_dict(), torch.zeros((), dtype=torch.float64)
    for part in coupled_slices(network, block, granularity):
        values = value(part.tensor, tensors[part.tensor].double())
        along = values.transpose(0, part.dim).reshape(values.shape[part.dim], -1).sum(1).cpu()
        sums = sums + along[torch.from_numpy(part.places)].sum(1)
    found: FloatArray = sums.numpy()
    return found


def magnitude(
    network: UNet, *, norm: Literal["l1", "l2"] = "l2", granularity: Granularity = "units"
) -> Scores:
    """Norm of all weights and biases that leave with a unit. Ref: Li et al. 2017 (filter norms).

    Raises:
        InvalidInput: the network was cut before.
    """
    check_full(network)
    if norm == "l1":
        return _by_block(network, lambda _, w: w.abs(), granularity)
    squares = _by_block(network, lambda _, w: w.square(), granularity)
    return {name: np.sqrt(values) for name, values in squares.items()}


def reconstruction(
    network: UNet,
    calibration: Calibration,
    bands: Iterable[int],
    *,
    ridge: float = 1e-3,
    granularity: Granularity = "units",
) -> Scores:
    """Increase of a block's mean squared output error without a unit, all others refitted.

    Summed over output channels, per pixel: tr(W_u [(H^-1)_uu]^-1 W_u^T), where W_u are the columns
    of the last layer that read the unit, and H is the covariance of what it reads (for the bias is
    refitted too) plus `ridge` times its mean diagonal. With moments of pixels (`taps=1`) the taps
    are summed as if each read other pixels.

    Ref: Hassibi & Stork 1993 (Optimal Brain Surgeon), eq. 5; for blocks of columns Frantar &
    Alistarh 2022 (Optimal Brain Compression), eq. 4.

    Raises:
        InvalidInput: the network was cut before or is not the calibrated one, there is no such
            band, or `ridge` is not positive.
    """
    check_full(network)
    check_ridge(ridge)
    moments = calibration.pooled(bands)
    return {
        block.name: _reconstruction(network, block, moments, ridge, granularity)
        for block in adm_blocks(network.config)
    }


def ranking(scores: Scores) -> dict[str, tuple[int, ...]]:
    """Units of each block, the most important first; of equal ones the first."""
    return {
        name: tuple(int(unit) for unit in np.argsort(-values, kind="stable"))
        for name, values in scores.items()
    }


def channel_ranking(scores: Scores, blocks: Sequence[PrunableBlock]) -> dict[str, tuple[int, ...]]:
    """Channels of residual blocks, so that every m * groups first ones hold m of each group.

    Each group's best channels come first, then each group's second best; blocks whose scores are
    not by channel are ranked as in `ranking`.
    """
    order = ranking(scores)
    for block in blocks:
        if block.kind != "residual" or len(scores[block.name]) != block.width:
            continue
        seen = [0] * block.units
        rounds: list[tuple[int, int]] = []
        for place, channel in enumerate(order[block.name]):
            group = channel // block.unit_width
            rounds.append((seen[group], place))
            seen[group] += 1
        order[block.name] = tuple(order[block.name][place] for _, place in sorted(rounds))
    return order


def _by_block(
    network: UNet, value: Callable[[str, Tensor], Tensor], granularity: Granularity
) -> dict[str, FloatArray]:
    return {
        block.name: summed_by_unit(network, block, value, granularity)
        for block in adm_blocks(network.config)
    }


def _rows(layer: str, places: npt.NDArray[np.int64]) -> tuple[CoupledSlice, CoupledSlice]:
    return CoupledSlice(f"{layer}.weight", 0, places), CoupledSlice(f"{layer}.bias", 0, places)


def _in_parts(channels: npt.NDArray[np.int64], *, parts: int, stride: int) -> npt.NDArray[np.int64]:
    return np.array([in_parts(row.tolist(), parts=parts, stride=stride) for row in channels])


def _reconstruction(
    network: UNet,
    block: PrunableBlock,
    by_block: Mapping[str, Moments],
    ridge: float,
    granularity: Granularity,
) -> FloatArray:
    moments = by_block[block.name]
    weight = weight_by_moments(network.get_parameter(f"{end_of_body(block)}.weight"), moments)
    inverse = np.linalg.inv(regularised_covariance(moments, ridge))
    scores = []
    for channels in channels_by_unit(block, granularity):
        columns = columns_of(channels, moments.taps)
        lost = weight[:, :, columns]
        tightness = np.linalg.inv(inverse[np.ix_(columns, columns)])
        scores.append(float(np.einsum("kou,uv,kov->", lost, tightness, lost)))
    return np.array(scores)
