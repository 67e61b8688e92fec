"""How the network's output changes on the sampling trajectory when something of it is cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from fewstep.denoisers.base import Denoiser
from fewstep.errors import InvalidInput
from fewstep.networks.adm.unet import UNet
from fewstep.networks.pruning.blocks import adm_blocks
from fewstep.networks.pruning.cutting import shared_copy
from fewstep.networks.pruning.importance import Scores, channels_by_unit
from fewstep.networks.pruning.least_squares import Indices
from fewstep.networks.pruning.moments import FloatArray
from fewstep.networks.pruning.slicing import check_full, end_of_body
from fewstep.networks.pruning.trajectory import Denoise, InBatches, run_told
from fewstep.program import Program

Passes: TypeAlias = "list[tuple[Tensor, ...]]"
"""What the network is given in one call, pass by pass."""


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Mean squared change of the network's output, per value.

    Attributes:
        units: Without one unit, by block.
        bodies: Without the whole body, by block.
        reused: With what the body put out in the call before, by block; none where no call before
            ran the network on as many rows.
    """

    units: Scores
    bodies: Mapping[str, float]
    reused: Mapping[str, float]


def output_sensitivity(
    network: UNet,
    program: Program,
    denoise: Denoise,
    x: Tensor,
    *,
    call: int,
    noise: Sequence[Tensor] = (),
    micro_batch: int = 64,
) -> Sensitivity:
    """Cut one unit, or one body, at a time and compare outputs at one call of the trajectory.

    The states are those that the full network leads to. Costs one forward for each unit and three
    for each body: without it, and two to reuse it. All bodies of the call before, kept at once,
    would save one of them, but are gigabytes for large networks.
    Nothing reads a unit whose columns in the last layer are zero, which is cutting it, but cheaper
    to make. Single channels are not scored: to cut them changes the norm of those left.

    Args:
        network: the full one; it is not touched.
        program: what a schedule runs.
        denoise: makes the denoiser for all rows of `x` around a network.
        x: start states, (B, C, H, W).
        call: the number of the program's node; all passes of it count.
        noise: the unit-normal terms, each shaped like `x`.
        micro_batch: rows in one pass of the network.

    Raises:
        InvalidInput: the network was cut before, or no such call runs it.
    """
    check_full(network)
    network = shared_copy(network).eval()
    recorder = _Recorder(InBatches(network, micro_batch))
    earlier, inputs = _inputs_at(call, program, denoise(recorder), recorder, x, noise)
    full = _outputs(network, inputs, micro_batch)

    def change() -> float:
        return float((_outputs(network, inputs, micro_batch) - full).square().mean())

    units: dict[str, FloatArray] = {}
    bodies: dict[str, float] = {}
    reused: dict[str, float] = {}
    for block in adm_blocks(network.config):
        end, scores = network.get_submodule(end_of_body(block)), []
        for channels in channels_by_unit(block, "units"):
            with _silenced(end, channels):
                scores.append(change())
        units[block.name] = np.array(scores)
        with _silenced(end, np.arange(block.width), with_bias=True):
            bodies[block.name] = change()
        if earlier is not None:
            before = _put_out(end, network, earlier, micro_batch)
            with end.register_forward_hook(_in_place_of_output(before)):
                reused[block.name] = change()
    return Sensitivity(units, bodies, reused)


def _put_out(
    layer: nn.Module, network: nn.Module, inputs: Passes, micro_batch: int
) -> Iterator[Tensor]:
    """What a layer puts out when the network is given inputs, batch by batch."""
    kept: list[Tensor] = []
    with layer.register_forward_hook(lambda _layer, _given, output: kept.append(output)):
        _outputs(network, inputs, micro_batch)
    return iter(kept)


def _in_place_of_output(others: Iterator[Tensor]) -> Callable[[nn.Module, object, object], Tensor]:
    """A hook by which a layer puts out others' outputs, one after the other."""
    return lambda _layer, _given, _output: next(others)


@contextmanager
def _silenced(layer: nn.Module, channels: Indices, *, with_bias: bool = False) -> Iterator[None]:
    """A layer that does not read some channels; its own tensors come back afterwards."""
    weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
    columns = torch.from_numpy(channels).to(weight.device)
    layer.weight = nn.Parameter(weight.detach().index_fill(1, columns, 0.0), requires_grad=False)
    if with_bias:
        layer.bias = nn.Parameter(torch.zeros_like(bias), requires_grad=False)
    try:
        yield
    finally:
        layer.weight, layer.bias = weight, bias


def _inputs_at(
    call: int,
    program: Program,
    denoiser: Denoiser,
    recorder: _Recorder,
    x: Tensor,
    noise: Sequence[Tensor],
) -> tuple[Passes | None, Passes]:
    """What the network is given in the last call before one that ran as many rows, and in it."""
    if not 0 <= call < len(program.nodes):
        raise InvalidInput(
            f"call={call}: allowed: 0 to {len(program.nodes) - 1}, the program's", field="call"
        )
    upto = replace(program, nodes=program.nodes[: call + 1], output={f"d{call}": 1.0})

    def before(_current: int) -> None:
        recorder.calls.append([])

    run_told(upto, denoiser, x, noise=noise, before=before)
    *others, inputs = recorder.calls
    if not inputs:
        raise InvalidInput(
            f"call={call}: it does not run the network; allowed: calls that do", field="call"
        )
    alike = (other for other in reversed(others) if _shapes(other) == _shapes(inputs))
    return next(alike, None), inputs


def _shapes(inputs: Passes) -> list[list[torch.Size]]:
    return [[tensor.shape for tensor in rows] for rows in inputs]


class _Recorder(nn.Module):
    """A network that keeps what it is given, in a list for each call that is announced."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.calls: list[Passes] = []

    def forward(self, *inputs: Tensor) -> Tensor:
        """Keep the inputs, then call the network."""
        self.calls[-1].append(inputs)
        output: Tensor = self.network(*inputs)
        return output


def _outputs(network: nn.Module, inputs: Passes, micro_batch: int) -> Tensor:
    """What a network says to several inputs, in float64."""
    batched = InBatches(network, micro_batch)
    with torch.no_grad():
        return torch.cat([batched(*rows) for rows in inputs]).double()
