"""Multiply-adds of a schedule whose steps run different networks, without torch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

from fewstep.errors import InvalidInput
from fewstep.guidance import Guidance, cost_of
from fewstep.networks.adm.config import UNetConfig
from fewstep.networks.pruning.architecture import Architecture
from fewstep.networks.pruning.configuration import NetworkConfiguration
from fewstep.networks.pruning.macs import adm_macs
from fewstep.program import Program

ImageSize: TypeAlias = int | tuple[int, int]
_FULL = NetworkConfiguration()


def passes_of_steps(
    program: Program, times: Sequence[float], guidance: Guidance = "none"
) -> tuple[int, ...]:
    """Network passes of one image at each step of the grid that a program was traced on.

    A pass counts at the step whose network runs it (`Program.with_networks`), so a stage at the
    time of the next step counts there. Gradients of a guide run another network: none are counted.

    Raises:
        InvalidInput: a gradient is asked for where there is no guidance.
    """
    steps = len(times) - 1
    passes = [0] * steps
    for node in program.with_networks(times, range(steps)).nodes:
        passes[node.network] += cost_of({node.kind: 1}, guidance).passes
    return tuple(passes)


@lru_cache(maxsize=4096)
def network_macs(
    config: UNetConfig, configuration: NetworkConfiguration, image_size: ImageSize
) -> int:
    """Multiply-adds of one pass of one image; kept, for a search asks for the same ones.

    Raises:
        InvalidInput: the configuration or the size does not fit the network.
    """
    return adm_macs(config, configuration, image_size).total.macs


def schedule_macs(
    architecture: Architecture | None,
    config: UNetConfig,
    image_size: ImageSize,
    *,
    passes: Sequence[int],
) -> int:
    """Multiply-adds of one image over a schedule.

    Args:
        architecture: what runs at each step; None is the full network.
        config: of the full network.
        image_size: side, or height and width.
        passes: network passes at each step, as `passes_of_steps` counts them.

    Raises:
        InvalidInput: the architecture does not fit the network or the number of steps.
    """
    each = configurations_of_steps(architecture, len(passes))
    return sum(
        count * network_macs(config, configuration, image_size)
        for count, configuration in zip(passes, each, strict=True)
    )


def configurations_of_steps(
    architecture: Architecture | None, steps: int
) -> Sequence[NetworkConfiguration]:
    """What runs at each step.

    Raises:
        InvalidInput: the architecture is for another number of steps.
    """
    if architecture is None:
        return [_FULL] * steps
    if len(architecture.of_step) != steps:
        raise InvalidInput(
            f"architecture.of_step: {len(architecture.of_step)} entries; allowed: one for each of "
            f"{steps} steps",
            field="architecture",
        )
    return [architecture.at(step) for step in range(steps)]
