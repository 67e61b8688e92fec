"""Seconds of network passes under configurations, and the name of the chip that took them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median

import torch
from torch import Tensor

from evaluators.score import Task
from fewstep.networks.adm.unet import UNet
from fewstep.networks.pruning.cache import BodyCache
from fewstep.networks.pruning.configuration import NetworkConfiguration
from fewstep.networks.pruning.slicing import sliced
from fewstep.networks.zoo.processor import processor_name

WARM_UP_ROUNDS = 1  # memory is taken and kernels are chosen in a first pass
# A median of five stands two that something else disturbed. More would be better and cost more: a
# table of a network's blocks has a hundred configurations.
TIMED_ROUNDS = 5


def seconds_of(
    task: Task, network: UNet, configurations: Sequence[NetworkConfiguration]
) -> list[float]:
    """Median seconds of one image of one pass under each configuration, in their order.

    Raises:
        InvalidInput: a configuration does not fit the network.
    """
    rows, device = task.numerics.micro_batch, task.numerics.device
    # Which values go in does not matter to how long it takes.
    inputs = [torch.zeros(rows, *task.image_shape), torch.zeros(rows)]
    if task.num_classes is not None:
        inputs.append(torch.zeros(rows, dtype=torch.int64))
    inputs = [tensor.to(device) for tensor in inputs]
    with torch.inference_mode():
        passes = [_pass(network, configuration, inputs) for configuration in configurations]
        return [taken / rows for taken in interleaved_medians(passes, clock=_clock(device))]


def interleaved_medians(
    passes: Sequence[Callable[[], object]], *, clock: Callable[[], float]
) -> list[float]:
    """Median time of each, in rounds of all, so that drift hits all alike.

    Args:
        passes: what is timed, in the order of every round.
        clock: seconds; on a device it waits until all is done there.
    """
    for _ in range(WARM_UP_ROUNDS):
        for run in passes:
            run()
    taken: list[list[float]] = [[] for _ in passes]
    for _ in range(TIMED_ROUNDS):
        for run, times in zip(passes, taken, strict=True):
            start = clock()
            run()
            times.append(clock() - start)
    return [median(times) for times in taken]


def device_name(device: str) -> str:
    """The chip: seconds on another mean nothing here."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    return processor_name()


def _pass(
    network: UNet, configuration: NetworkConfiguration, inputs: Sequence[Tensor]
) -> Callable[[], Tensor]:
    """One pass of what a configuration leaves; bodies that it reuses are made here, untimed."""
    cache = BodyCache.between([configuration])
    if not cache.names:
        smaller = sliced(network, configuration)
        return lambda: smaller(*inputs)
    sliced(network, NetworkConfiguration(), cache=cache)(*inputs)
    reusing = sliced(network, configuration, cache=cache)
    return lambda: reusing(*inputs)


def _clock(device: str) -> Callable[[], float]:
    if device != "cuda":
        return time.perf_counter

    def synchronised() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return synchronised
