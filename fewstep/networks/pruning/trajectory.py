"""Runs a program on a full network, in batches, and tells which of its calls is being made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fewstep.denoisers.base import Denoiser, StackedLevel
from fewstep.errors import InvalidInput
from fewstep.program import Program
from fewstep.running import run
from fewstep.solvers import Kind

# Makes a denoiser around a network: labels, guidance and clipping included.
Denoise = Callable[[nn.Module], Denoiser]


class InBatches(nn.Module):
    """A network that takes any number of rows, at most `micro_batch` of them at once."""

    def __init__(self, network: nn.Module, micro_batch: int) -> None:
        super().__init__()
        if micro_batch < 1:
            raise InvalidInput(
                f"micro_batch={micro_batch}: allowed: 1 and more", field="micro_batch"
            )
        self.network = network
        self.micro_batch = micro_batch

    def forward(self, *inputs: Tensor) -> Tensor:
        """Call the network on slices of all inputs, each (B, ...), in order."""
        slices = zip(*(tensor.split(self.micro_batch) for tensor in inputs), strict=True)
        return torch.cat([self.network(*rows) for rows in slices])


class Switch(nn.Module):
    """A network at some calls of a program, and another one at the others.

    Args:
        usual: the one.
        other: the other.
        runs_other: for each call whether it runs the other.
    """

    def __init__(self, usual: nn.Module, other: nn.Module, runs_other: Sequence[bool]) -> None:
        super().__init__()
        self.usual = usual
        self.other = other
        self.runs_other = runs_other
        self.call = 0

    def before(self, call: int) -> None:
        """Hear which call comes next: for `run_told`."""
        self.call = call

    def forward(self, *inputs: Tensor) -> Tensor:
        """Call the network of the call."""
        network = self.other if self.runs_other[self.call] else self.usual
        output: Tensor = network(*inputs)
        return output


def run_told(
    program: Program,
    denoiser: Denoiser,
    x: Tensor,
    *,
    noise: Sequence[Tensor] = (),
    before: Callable[[int], None],
) -> Tensor:
    """Run a program without gradients; `before` hears the number of each node ahead of its call.

    Whatever networks the nodes name, this denoiser answers for all.
    """
    told = _Told(denoiser, before)
    count = 1 + max((node.network for node in program.nodes), default=0)
    with torch.no_grad():
        return run(program, [told] * count, x, noise=noise)


@dataclass(slots=True)
class _Told:
    """A denoiser that counts how often it is asked."""

    denoiser: Denoiser
    before: Callable[[int], None]
    calls: int = 0

    def __call__(self, x: Tensor, at: StackedLevel, kind: Kind = "denoised") -> Tensor:
        self.before(self.calls)
        self.calls += 1
        return self.denoiser(x, at, kind)
