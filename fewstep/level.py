"""A noise level: where on the way from noise to data a state is."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Level:
    """Process time `t` and the marginal's coefficients there: x = alpha * x0 + sigma * eps."""

    t: float
    alpha: float
    sigma: float

    @property
    def rho(self) -> float:
        """Noise-to-signal ratio sigma / alpha (the "sigma" of k-diffusion and ComfyUI)."""
        return self.sigma / self.alpha

    @property
    def lam(self) -> float:
        """Half log-SNR, log(alpha / sigma); infinite at the clean level."""
        return math.inf if self.sigma == 0.0 else math.log(self.alpha / self.sigma)

    @property
    def is_clean(self) -> bool:
        """Whether no noise is left."""
        return self.sigma == 0.0
