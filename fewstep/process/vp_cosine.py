"""The continuous variance-preserving process with cosine alphas."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from fewstep.process.continuous import ContinuousProcess

OFFSET = 0.008


@dataclass(frozen=True, slots=True)
class VPCosine(ContinuousProcess):
    """alpha = cos(theta), sigma = sin(theta), theta = (pi / 2) (t + 0.008) / 1.008.

    Not normalised by its value at 0, so rho comes from 0.0125 at t = 0+; t = 0 itself is clean by
    definition, and smaller ratios than that of `t_min` are clamped to `t_min`. rho is infinite at
    t = 1, so the process ends at 0.9946 (rho = 119).

    Ref: Nichol, Dhariwal 2021, eq. 17; end time of Lu et al. 2022 (DPM-Solver).
    """

    family: ClassVar[str] = "vp-cosine"

    @property
    def t_max(self) -> float:
        """The noisiest time, 0.9946."""
        return 0.9946

    def _marginal(self, t: float) -> tuple[float, float]:
        quarter = 0.5 * math.pi / (1.0 + OFFSET)
        # cos(theta) as the sine of the rest: no cancellation where theta nears pi / 2.
        return math.sin(quarter * (1.0 - t)), math.sin(quarter * (t + OFFSET))

    def _time_at(self, rho: float) -> float:
        t = (1.0 + OFFSET) * 2.0 / math.pi * math.atan(rho) - OFFSET
        return max(t, self.t_min)
