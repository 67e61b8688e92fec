"""Chains on the two-dimensional mixture: the library's, and the second implementation's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from fewstep.mcmc import DLGSettings, class_grid, time_class_grid
from fewstep.mcmc.chain import ChainState, Kernel
from fewstep.mcmc.draws import GeneratorDraws
from fewstep.mcmc.posterior import MixturePosterior
from fewstep.mcmc.settings import Space
from fewstep.process import EDM, Process, VPLinear
from tests.mixture2d import MIXTURE
from tests.unit.mcmc.numpy_dlg import Array, Classes, NumpyDLG

VE_PROCESS: Process = EDM(sigma_min=0.002, sigma_max=80.0)
VP_PROCESS: Process = VPLinear()
VE_RHOS = class_grid(0.05, 5.0, 48)
VP_RHOS = time_class_grid(VP_PROCESS, 48)


@dataclass(frozen=True)
class Setting:
    """A space, and what the mixture's chains need in it."""

    space: Space

    @property
    def process(self) -> Process:
        return VE_PROCESS if self.space == "ve" else VP_PROCESS

    @property
    def rhos(self) -> tuple[float, ...]:
        return VE_RHOS if self.space == "ve" else VP_RHOS

    @property
    def posterior(self) -> MixturePosterior:
        process = self.process if self.space == "vp-native" else None
        return MixturePosterior(MIXTURE, self.rhos, process)

    def kernel(self, settings: DLGSettings) -> Kernel:
        return Kernel(MIXTURE, self.posterior, process=self.process, settings=settings)

    def second(self, kind: type[NumpyDLG], settings: DLGSettings) -> NumpyDLG:
        """The second implementation, or a broken one, under the same settings."""
        levels = [self.process.at_rho(rho) for rho in self.rhos]
        return kind(
            np.array([level.alpha for level in levels]),
            np.array([level.sigma for level in levels]),
            native=self.space == "vp-native",
            eta=settings.eta,
            scaled=settings.step_rule == "scaled",
            argmax=settings.gibbs == "argmax",
            adjust=settings.adjust,
        )


SETTINGS = {space: Setting(space) for space in ("ve", "vp-native", "vp-rescaled")}


def draws(seed: int) -> GeneratorDraws:
    """A stream of its own."""
    return GeneratorDraws(np.random.default_rng(seed))


def chain_state(x: Array, classes: Classes) -> ChainState:
    """The same chains for the library."""
    return ChainState(torch.from_numpy(x.copy()), torch.from_numpy(classes.copy()))
