"""The full network at one call of a trajectory, and how cuts change what it puts out there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor, nn

from fewstep.denoisers.base import Denoiser
from fewstep.errors import InvalidInput
from fewstep.networks.adm.unet import UNet
from fewstep.networks.pruning.blocks import PrunableBlock
from fewstep.networks.pruning.cutting import shared_copy
from fewstep.networks.pruning.slicing import check_full, end_of_body
from fewstep.networks.pruning.trajectory import Denoise, InBatches, run_told
from fewstep.program import Program

Passes: TypeAlias = "list[tuple[Tensor, ...]]"
"""What the network is given in one call, pass by pass."""


@dataclass(frozen=True, slots=True)
class OutputProbe:
    """What the network is given at a call of a trajectory, and what it says to that.

    Changes are mean squared ones of the output, per value, on the states that the full network
    leads to.

    Attributes:
        network: A copy of the full one that shares its tensors.
        inputs: Of the call.
        earlier: Of the last call before it that ran the network on as many rows; None where none
            did.
        full: The output, float64.
        micro_batch: Rows in one pass of the network.
    """

    network: UNet
    inputs: Passes
    earlier: Passes | None
    full: Tensor
    micro_batch: int

    def change(self, network: nn.Module) -> float:
        """By another network in place of the full one."""
        return self._change(_outputs(network, self.inputs, self.micro_batch))

    def change_by_reuse(self, block: PrunableBlock) -> float | None:
        """By what the block's body put out in the call before; None where there was none.

        Costs two forwards. All bodies of the call before, kept at once, would save one of them, but
        are gigabytes for large networks.
        """
        if self.earlier is None:
            return None
        end = self.network.get_submodule(end_of_body(block))
        before = _put_out(end, self.network, self.earlier, self.micro_batch)
        with end.register_forward_hook(_in_place_of_output(before)):
            return self._change(_outputs(self.network, self.inputs, self.micro_batch))

    def _change(self, output: Tensor) -> float:
        return float((output - self.full).square().mean())


def probe_at(
    network: UNet,
    program: Program,
    denoise: Denoise,
    x: Tensor,
    *,
    call: int,
    noise: Sequence[Tensor] = (),
    micro_batch: int = 64,
) -> OutputProbe:
    """Run a program up to one of its calls, and keep what the network is given and says there.

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
    return OutputProbe(network, inputs, earlier, full, micro_batch)


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
