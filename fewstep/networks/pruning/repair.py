"""What stands in for what was cut, in closed form from moments: no training, no call of a network.

Solved in float64. Equal moments give equal bytes as long as the linear algebra underneath runs on
one thread (OMP_NUM_THREADS=1), or always on as many.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from fewstep.errors import InvalidInput
from fewstep.networks.adm.unet import UNet
from fewstep.networks.pruning.architecture import MAX_CONFIGURATIONS, Repair
from fewstep.networks.pruning.blocks import PrunableBlock, adm_blocks
from fewstep.networks.pruning.calibration import Calibration
from fewstep.networks.pruning.configuration import (
    BlockChoice,
    NetworkConfiguration,
    kept_channels,
)
from fewstep.networks.pruning.least_squares import (
    check_ridge,
    columns_of,
    kernel_of,
    refit,
    weight_by_moments,
)
from fewstep.networks.pruning.moments import FloatArray, Moments
from fewstep.networks.pruning.slicing import (
    EmptiedAttention,
    EmptiedResidual,
    check_full,
    end_of_body,
)
from fewstep.networks.pruning.tensor_files import content_of, read_tensors, sha256_of

METADATA_KEY = "fewstep-repair"
FORMAT_VERSION = 1
RIDGE = 1e-3  # of the mean variance of what is read


def repaired(
    network: UNet,
    configuration: NetworkConfiguration,
    calibration: Calibration,
    bands: Iterable[int],
    repair: Repair,
    *,
    ridge: float = RIDGE,
) -> dict[str, Tensor]:
    """The tensors that change, by state-dict name of the network that `sliced` makes.

    "bias": the last layer's bias takes up the mean of what the removed channels added: over all
    pixels, those at the border included, the mean output is that of the full body. "ridge": W', b'
    = argmin E|W a + b - W' a_kept - b'|^2 + r |W' - W_kept|^2, where a is what the last layer reads
    in the full network. Where only moments of pixels are stored (`taps=1`), removed channels are
    predicted linearly from kept ones of the same pixel, and the prediction is folded into every
    tap; pixels outside the border are then taken to be like others. A removed body becomes its mean
    output, a reused one stays as it is.

    Both fit activations of the full network. Those of kept groups and heads are the same after the
    cut, for equal input of the block; in mode "channels" the norm changes them, and the fit is off
    by that.

    Args:
        network: the full one; it is not touched.
        configuration: what of it runs.
        calibration: moments of the same network.
        bands: those of its bands at which the configuration runs.
        repair: what is done.
        ridge: r, in units of the mean variance of what is kept.

    Returns:
        Tensors in the type of the network's, on the CPU; none where nothing is cut.

    Raises:
        InvalidInput: the configuration or the calibration does not fit the network, there is no
            such band, or `ridge` is not positive.
    """
    check_full(network)
    check_ridge(ridge)
    blocks = adm_blocks(network.config)
    configuration = configuration.normalised(blocks)
    if repair == "none":
        return {}
    pooled, tensors = calibration.pooled(bands), dict[str, Tensor]()
    for block in blocks:
        choice = configuration.get(block.name)
        if choice is None or choice.mode == "reused":
            continue
        moments = _of(pooled, block)
        if choice.has_body:
            strength = ridge if repair == "ridge" else None
            tensors |= _refitted(network, block, choice, moments, strength)
        else:
            bias = network.get_parameter(f"{end_of_body(block)}.bias")
            tensors[f"{block.name}.mean"] = _like(moments.mean_output, bias)
    return tensors


def apply_repair(sliced_network: UNet, tensors: Mapping[str, Tensor]) -> None:
    """Give a cut network its repaired tensors, in place.

    They replace tensors rather than write into them: nothing that another network shares changes.

    Args:
        sliced_network: made by `sliced` from the configuration that the repair is for.
        tensors: what `repaired` returned for it; none leaves it as it is.

    Raises:
        InvalidInput: names or shapes are not those of what was cut; names the first that differ.
    """
    if not tensors:
        return
    always, refitted = _repairable(sliced_network)
    wanted = always | (refitted if set(tensors) & set(refitted) else {})
    _check_names(tensors, wanted)
    for name, tensor in tensors.items():
        path, _, attribute = name.rpartition(".")
        layer = sliced_network.get_submodule(path)
        like = sliced_network.get_parameter(_HEAD_BIAS)
        value = tensor.detach().to(like.device, like.dtype, copy=True)
        setattr(layer, attribute, nn.Parameter(value, requires_grad=like.requires_grad))


def repair_content(configurations: Sequence[Mapping[str, Tensor]]) -> bytes:
    """The tensors of up to 3 configurations as one safetensors file; equal ones give equal bytes.

    Raises:
        InvalidInput: none, or more than an architecture may have.
    """
    if not 1 <= len(configurations) <= MAX_CONFIGURATIONS:
        raise InvalidInput(
            f"configurations: {len(configurations)} of them; allowed: 1 to {MAX_CONFIGURATIONS}",
            field="repair",
        )
    tensors = {
        f"{place}.{name}": tensor
        for place, named in enumerate(configurations)
        for name, tensor in named.items()
    }
    metadata = {"version": FORMAT_VERSION, "configurations": len(configurations)}
    return content_of(tensors, key=METADATA_KEY, metadata=metadata)


def save_repair(path: Path, configurations: Sequence[Mapping[str, Tensor]]) -> str:
    """Write the file of `repair_content` and return its SHA-256.

    Raises:
        InvalidInput: as `repair_content` does.
    """
    content = repair_content(configurations)
    path.write_bytes(content)
    return sha256_of(content)


def load_repair(path: Path) -> tuple[dict[str, Tensor], ...]:
    """Read what `save_repair` wrote: the tensors of each configuration.

    Raises:
        UnsafeCheckpoint: not a safetensors file.
        InvalidInput: no such file, or tensors or metadata that are not those of a repair.
    """
    tensors, metadata = read_tensors(path, key=METADATA_KEY, metadata=_Metadata, field="repair")
    configurations: list[dict[str, Tensor]] = [{} for _ in range(metadata.configurations)]
    for key in sorted(tensors):
        place, _, name = key.partition(".")
        is_float = tensors[key].is_floating_point()
        if place not in map(str, range(len(configurations))) or not name or not is_float:
            raise InvalidInput(
                f"repair={path.name!r}: tensor {key!r}; allowed: floats named 0.NAME to "
                f"{len(configurations) - 1}.NAME",
                field="repair",
            )
        configurations[int(place)][name] = tensors[key]
    return tuple(configurations)


class _Metadata(BaseModel):
    """What the metadata of a repair file must hold."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    version: Literal[1]
    configurations: int = Field(ge=1, le=MAX_CONFIGURATIONS)


_HEAD_BIAS = "out.2.bias"  # a tensor that every network has: it tells type and device


def _of(moments: Mapping[str, Moments], block: PrunableBlock) -> Moments:
    if block.name not in moments:
        raise InvalidInput(
            f"calibration: no moments of {block.name}; allowed: those of this network",
            field="calibration",
        )
    return moments[block.name]


def _refitted(
    network: UNet,
    block: PrunableBlock,
    choice: BlockChoice,
    moments: Moments,
    ridge: float | None,
) -> dict[str, Tensor]:
    """The last layer of a body that reads fewer channels: its bias and, with `ridge`, weight."""
    end = end_of_body(block)
    weight, bias = (network.get_parameter(f"{end}.{part}") for part in ("weight", "bias"))
    found = refit(
        weight_by_moments(weight, moments),
        bias.detach().cpu().double().numpy(),
        moments,
        columns_of(kept_channels(block, choice), moments.taps),
        ridge=ridge,
    )
    tensors = {f"{end}.bias": _like(found.bias, bias)}
    if ridge is not None:
        kernel = kernel_of(found.weight, taps=moments.taps, like=weight)
        tensors[f"{end}.weight"] = _like(kernel, weight)
    return tensors


def _like(values: FloatArray, tensor: Tensor) -> Tensor:
    return torch.tensor(values, dtype=tensor.dtype)


def _repairable(network: UNet) -> tuple[dict[str, torch.Size], dict[str, torch.Size]]:
    """What any repair gives a cut network, and what "ridge" gives besides: names and shapes."""
    always: dict[str, torch.Size] = {}
    refitted: dict[str, torch.Size] = {}
    for block in adm_blocks(network.config):
        layer = network.get_submodule(block.name)
        if isinstance(layer, EmptiedResidual | EmptiedAttention):
            if layer.body is None:
                always[f"{block.name}.mean"] = torch.Size([layer.width])
            continue
        end = end_of_body(block)
        weight = network.get_parameter(f"{end}.weight")
        if weight.shape[1] < block.width:
            always[f"{end}.bias"] = network.get_parameter(f"{end}.bias").shape
            refitted[f"{end}.weight"] = weight.shape
    return always, refitted


def _check_names(tensors: Mapping[str, Tensor], wanted: Mapping[str, torch.Size]) -> None:
    for name in sorted(set(tensors) | set(wanted)):
        found = tuple(tensors[name].shape) if name in tensors else "missing"
        allowed = tuple(wanted[name]) if name in wanted else "no such tensor"
        if found != allowed:
            raise InvalidInput(
                f"repair.{name}: {found}; allowed: {allowed}, for what was cut from this network",
                field="repair",
            )
