"""Counts and seconds of what sampling takes: passes of the network, gradients of a condition."""

from __future__ import annotations

import time
from dataclasses import dataclass

from torch import Tensor, nn

from fewstep.denoisers import StackedLevel
from fewstep.guidance.conditional import ConditionalFunction


@dataclass(slots=True)
class Meter:
    """Rows that went through, and seconds."""

    rows: int = 0
    seconds: float = 0.0


class MeteredNetwork(nn.Module):
    """A network that counts the states it is given; several may count with one meter."""

    def __init__(self, network: nn.Module, meter: Meter) -> None:
        super().__init__()
        self._network = network
        self.meter = meter

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        """The network's prediction."""
        started = time.perf_counter()
        prediction: Tensor = self._network(x, *others)
        self.meter.seconds += time.perf_counter() - started
        self.meter.rows += len(x)
        return prediction


@dataclass(frozen=True, slots=True)
class MeteredCondition:
    """A conditional function that counts its gradients.

    Their seconds leave out the network's forward passes inside, which count as the network's.
    """

    condition: ConditionalFunction
    network: Meter
    meter: Meter

    def value(self, x: Tensor, at: StackedLevel) -> Tensor:
        """The potential."""
        return self.condition.value(x, at)

    def gradient(self, x: Tensor, at: StackedLevel) -> Tensor:
        """Its gradient."""
        started, inside = time.perf_counter(), self.network.seconds
        gradient = self.condition.gradient(x, at)
        inside = self.network.seconds - inside
        self.meter.seconds += time.perf_counter() - started - inside
        self.meter.rows += len(x)
        return gradient

    def impute(self, x: Tensor, at: StackedLevel) -> Tensor:
        """The states with what is known put in."""
        return self.condition.impute(x, at)
