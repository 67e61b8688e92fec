"""Small networks on the states that a schedule visits, and what their layers read there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fewstep.denoisers import Denoiser, class_conditional
from fewstep.networks.adm.unet import UNet
from fewstep.networks.pruning.blocks import PrunableBlock
from fewstep.networks.pruning.calibration import KERNEL_TAPS, Calibration, calibrate
from fewstep.networks.pruning.trajectory import Denoise
from fewstep.process import VPDiscrete
from fewstep.program import Program, trace
from fewstep.running import run
from fewstep.spacing import grid
from tests.unit.networks.pruning.cases import case

FloatArray = npt.NDArray[np.float64]

IMAGES = 12
PROCESS = VPDiscrete.linear()
PROGRAM: Program = trace(grid("log-snr", PROCESS, 3), process=PROCESS, solver="dpm-solver++-2m")
CALLS = len(PROGRAM.nodes)


def network_of(name: str) -> UNet:
    """One of the small ADM networks, in float64; no test may change it."""
    network = case(name).network
    assert isinstance(network, UNet)
    return network


def blocks_of(name: str) -> dict[str, PrunableBlock]:
    """Its blocks by name."""
    return {block.name: block for block in case(name).blocks}


def starts(count: int = IMAGES) -> Tensor:
    """Start noise (count, 2, 8, 8) in float64."""
    generator = torch.Generator().manual_seed(5)
    return torch.randn(count, 2, 8, 8, generator=generator, dtype=torch.float64)


def denoise_with(name: str, *, scale: float = 1.0, count: int = IMAGES) -> Denoise:
    """Makes denoisers around networks like the named one; the last label is the null label."""
    is_conditional = network_of(name).config.num_classes is not None

    def denoise(network: nn.Module) -> Denoiser:
        return class_conditional(
            network if is_conditional else lambda x, time, _labels: network(x, time),
            labels=torch.arange(count) % 2,
            guidance_scale=scale,
            null_label=2 if is_conditional else None,
            clip=1.0,
        )

    return denoise


@cache
def calibrated(name: str, *, max_unfolded: int = 2304) -> Calibration:
    """Moments of a small network, a band for each call."""
    return calibrate(
        network_of(name),
        PROGRAM,
        denoise_with(name),
        starts(),
        of_call=range(CALLS),
        max_unfolded=max_unfolded,
    )


@dataclass(frozen=True)
class Read:
    """What a layer read, (calls, B, C, H, W), and put out, over a trajectory."""

    inputs: FloatArray
    outputs: FloatArray

    def rows(self, taps: int = KERNEL_TAPS) -> FloatArray:
        """Unfolded by loops: (pixels of all calls, C * taps)."""
        activations = self.inputs.reshape(-1, *self.inputs.shape[2:])
        batch, channels, height, width = activations.shape
        if taps == 1:
            return activations.transpose(0, 2, 3, 1).reshape(-1, channels)
        found = np.zeros((batch, height, width, channels, 3, 3))
        for dy in range(3):
            for dx in range(3):
                for y in range(height):
                    for x in range(width):
                        row, column = y + dy - 1, x + dx - 1
                        if 0 <= row < height and 0 <= column < width:  # else the padding's zero
                            found[:, y, x, :, dy, dx] = activations[:, :, row, column]
        return found.reshape(batch * height * width, channels * 9)

    def output_rows(self) -> FloatArray:
        """(Pixels of all calls, C_out)."""
        outputs = self.outputs.reshape(-1, *self.outputs.shape[2:])
        return outputs.transpose(0, 2, 3, 1).reshape(-1, outputs.shape[1])


@cache
def read_by(name: str, layer: str) -> Read:
    """What a layer of the full network reads, by a hook of our own."""
    network = network_of(name)
    inputs: list[Tensor] = []
    outputs: list[Tensor] = []

    def keep(_module: nn.Module, given: Sequence[Tensor], output: Tensor) -> None:
        inputs.append(given[0])
        outputs.append(output)

    handle = network.get_submodule(layer).register_forward_hook(keep)
    with torch.no_grad():
        run(PROGRAM, denoise_with(name)(network), starts())
    handle.remove()
    return Read(_images(inputs), _images(outputs))


def _images(tensors: Sequence[Tensor]) -> FloatArray:
    """Attention's rows of pixels become images again."""
    values: FloatArray = torch.stack(list(tensors)).numpy()
    if values.ndim == 4:
        side = round(values.shape[-1] ** 0.5)
        return values.reshape(*values.shape[:-1], side, side)
    return values


def matrix(network: nn.Module, layer: str) -> FloatArray:
    """A layer's weight as (C_out, everything it reads)."""
    weight: FloatArray = network.get_parameter(f"{layer}.weight").detach().flatten(1).numpy()
    return weight


def bias(network: nn.Module, layer: str) -> FloatArray:
    """A layer's bias."""
    values: FloatArray = network.get_parameter(f"{layer}.bias").detach().numpy()
    return values


def columns(channels: Sequence[int], taps: int) -> list[int]:
    """Columns of `matrix` that read these channels."""
    return [channel * taps + tap for channel in channels for tap in range(taps)]
