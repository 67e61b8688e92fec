"""The random numbers of chains from a noise bank: by stage, image and number, never by order."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from evaluators.banks import NoiseBank


@dataclass(slots=True)
class BankDraws:
    """The `fewstep.mcmc.draws.Draws` of one stage, for `count` images from `start`.

    The n-th normal term of a stage is the same whatever is drawn in other stages, so candidates
    that take more chain steps share the first ones with those that take fewer.

    Attributes:
        bank: Where the numbers come from.
        stage: Name of the stage; `term` is that of stochastic solvers' noise in every bank.
        start: First image.
        count: Number of images.
    """

    bank: NoiseBank
    stage: str
    start: int
    count: int
    _normals: int = 0
    _uniforms: int = 0

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        """Unit normal numbers, float64; `shape` must be that of the images."""
        assert shape == (self.count, *self.bank.image_shape), shape
        purpose = f"{self.stage} {self._normals}"
        self._normals += 1
        drawn = self.bank.normals(purpose, self.start, self.start + self.count)
        return torch.from_numpy(drawn).double()

    def uniform(self, count: int) -> Tensor:
        """Numbers in (0, 1), float64, one for each image."""
        assert count == self.count, count
        purpose = f"{self.stage} uniform {self._uniforms}"
        self._uniforms += 1
        return torch.from_numpy(self.bank.uniforms(purpose, self.start, self.start + self.count))
