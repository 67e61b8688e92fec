"""Continuous processes whose beta is linear in time: VP and sub-VP of score-SDE."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from fewstep.errors import InvalidInput
from fewstep.process.checks import ALPHA_FLOOR, check_positive
from fewstep.process.continuous import ContinuousProcess

# -ln alpha(1) = (beta_0 + beta_1) / 4: up to this sum alpha stays above its floor.
MAX_BETA_SUM = -4.0 * math.log(ALPHA_FLOOR)


@dataclass(frozen=True, slots=True)
class _LinearBeta(ContinuousProcess):
    """ln alpha(t) = -(beta_1 - beta_0) t^2 / 4 - beta_0 t / 2."""

    beta_0: float = 0.1
    beta_1: float = 20.0

    def __post_init__(self) -> None:
        for name in ("beta_0", "beta_1"):
            object.__setattr__(self, name, check_positive(name, getattr(self, name)))
        if self.beta_0 > self.beta_1:
            raise InvalidInput(
                f"beta_0={self.beta_0!r}: above beta_1={self.beta_1!r}; allowed: at most beta_1",
                field="beta_0",
            )
        if self.beta_0 + self.beta_1 > MAX_BETA_SUM:
            raise InvalidInput(
                f"beta_1={self.beta_1!r}: alpha(1) falls below 2^-12; allowed: beta_0 + beta_1 up "
                f"to {MAX_BETA_SUM:.2f}",
                field="beta_1",
            )

    def _decay(self, t: float) -> float:
        """-ln alpha(t)."""
        return t * (0.25 * (self.beta_1 - self.beta_0) * t + 0.5 * self.beta_0)

    def _time_of_decay(self, decay: float) -> float:
        """The positive root of `_decay`, in the form that subtracts nothing."""
        half = 0.5 * self.beta_0
        return 2.0 * decay / (half + math.sqrt(half * half + (self.beta_1 - self.beta_0) * decay))


@dataclass(frozen=True, slots=True)
class VPLinear(_LinearBeta):
    """Variance preserving with linear beta: sigma^2 = 1 - alpha^2.

    Ref: Song et al. 2021 (score-SDE), section 3.4 and appendix C.

    Args:
        beta_0: beta at t = 0, above 0.
        beta_1: beta at t = 1, at least `beta_0`; beta_0 + beta_1 at most 33.27.

    Raises:
        InvalidInput: the betas are not such numbers.
    """

    family: ClassVar[str] = "vp-linear"

    def _marginal(self, t: float) -> tuple[float, float]:
        decay = self._decay(t)
        # expm1: at t = 1e-3 the difference 1 - alpha^2 is 1.1e-4 and loses 4 of 16 digits.
        return math.exp(-decay), math.sqrt(-math.expm1(-2.0 * decay))

    def _time_at(self, rho: float) -> float:
        # log1p: below rho = 1e-8 the sum 1 + rho^2 is 1.
        return self._time_of_decay(0.5 * math.log1p(rho * rho))


@dataclass(frozen=True, slots=True)
class SubVP(_LinearBeta):
    """The sub-VP process: alpha as `VPLinear`, sigma = 1 - alpha^2.

    Ref: Song et al. 2021 (score-SDE), section 3.4 and appendix C.

    Args:
        beta_0: beta at t = 0, above 0.
        beta_1: beta at t = 1, at least `beta_0`; beta_0 + beta_1 at most 33.27.

    Raises:
        InvalidInput: the betas are not such numbers.
    """

    family: ClassVar[str] = "sub-vp"

    def _marginal(self, t: float) -> tuple[float, float]:
        decay = self._decay(t)
        return math.exp(-decay), -math.expm1(-2.0 * decay)  # expm1 as for VP

    def _time_at(self, rho: float) -> float:
        # rho = 1 / alpha - alpha = 2 sinh(decay); asinh needs no root of a difference.
        return self._time_of_decay(math.asinh(0.5 * rho))
