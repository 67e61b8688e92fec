"""Variance-exploding processes: alpha = 1, in the time of score-SDE or of EDM."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from fewstep.errors import InvalidInput
from fewstep.process.checks import check_positive
from fewstep.process.continuous import ContinuousProcess


@dataclass(frozen=True, slots=True)
class _SigmaRange(ContinuousProcess):
    """Two noise levels, and start states as wide as the larger."""

    sigma_min: float
    sigma_max: float

    def __post_init__(self) -> None:
        for name in ("sigma_min", "sigma_max"):
            object.__setattr__(self, name, check_positive(name, getattr(self, name)))
        if not self.sigma_min < self.sigma_max:
            raise InvalidInput(
                f"sigma_min={self.sigma_min!r}: not below sigma_max={self.sigma_max!r}; allowed: "
                "below sigma_max",
                field="sigma_min",
            )

    @property
    def initial_scale(self) -> float:
        """sigma_max: start states are that wide."""
        return self.sigma_max


@dataclass(frozen=True, slots=True)
class VE(_SigmaRange):
    """sigma(t) = sigma_min (sigma_max / sigma_min)^t for t in (0, 1]; t = 0 is clean.

    There is no level between clean and sigma_min: `at_rho` clamps ratios below sigma(t_min) to
    `t_min`. The network is fed sigma.

    Ref: Song et al. 2021 (score-SDE), appendix C.

    Args:
        sigma_min: above 0.
        sigma_max: above `sigma_min`.

    Raises:
        InvalidInput: the sigmas are not such numbers.
    """

    family: ClassVar[str] = "ve"
    sigma_min: float = 0.01
    sigma_max: float = 50.0

    @property
    def t_min(self) -> float:
        """The least noisy time that can be evaluated, 1e-5 as in score-SDE's samplers."""
        return 1e-5

    def network_time(self, t: float) -> float:
        """Sigma itself."""
        return self.at(t).sigma

    def _marginal(self, t: float) -> tuple[float, float]:
        if t == 1.0:
            return 1.0, self.sigma_max  # exact, where the power is off by a rounding
        return 1.0, min(self.sigma_max, self.sigma_min * (self.sigma_max / self.sigma_min) ** t)

    def _time_at(self, rho: float) -> float:
        t = math.log(rho / self.sigma_min) / math.log(self.sigma_max / self.sigma_min)
        return max(t, self.t_min)


@dataclass(frozen=True, slots=True)
class EDM(_SigmaRange):
    """alpha = 1 and time is the noise level itself: t = sigma in (0, sigma_max], 0 is clean.

    The network is fed ln(sigma) / 4.

    Ref: Karras et al. 2022, table 1.

    Args:
        sigma_min: the least noise a grid may evaluate, above 0.
        sigma_max: the most, above `sigma_min`.

    Raises:
        InvalidInput: the sigmas are not such numbers.
    """

    family: ClassVar[str] = "edm"
    sigma_min: float = 0.002
    sigma_max: float = 80.0

    @property
    def t_min(self) -> float:
        """The least noisy level that can be evaluated, sigma_min."""
        return self.sigma_min

    @property
    def t_max(self) -> float:
        """The noisiest level, sigma_max."""
        return self.sigma_max

    def network_time(self, t: float) -> float:
        """ln(sigma) / 4.

        Raises:
            InvalidInput: at the clean level, which has no logarithm and is never evaluated.
        """
        if t == 0.0:
            raise InvalidInput(
                "t=0.0: the clean level is not evaluated; allowed: above 0", field="t"
            )
        return 0.25 * math.log(self.at(t).sigma)

    def _marginal(self, t: float) -> tuple[float, float]:
        return 1.0, t

    def _time_at(self, rho: float) -> float:
        return rho
