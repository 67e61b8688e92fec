"""Where the random numbers of chains and stochastic solvers come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor


class Draws(Protocol):
    """A stream of random numbers, drawn in a fixed order: the same stream gives the same chain.

    One step of a chain draws a normal term for all chains, then, if it is Metropolis-adjusted, one
    uniform number per chain, then, if the level is drawn, one more. A stochastic solver draws its
    normal terms after its window.
    """

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        """Unit normal numbers, float64."""
        ...

    def uniform(self, count: int) -> Tensor:
        """Numbers in [0, 1), float64, shape (count,)."""
        ...


@dataclass(frozen=True, slots=True)
class GeneratorDraws:
    """Draws of a numpy generator."""

    generator: np.random.Generator

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        """Unit normal numbers, float64."""
        return torch.from_numpy(self.generator.standard_normal(shape))

    def uniform(self, count: int) -> Tensor:
        """Numbers in [0, 1), float64, shape (count,)."""
        return torch.from_numpy(self.generator.random(count))
