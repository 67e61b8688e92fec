"""The linear path of flow matching and rectified flow, with its shift."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fewstep.process.checks import ALPHA_FLOOR, check_positive, check_time
from fewstep.process.continuous import ContinuousProcess


@dataclass(frozen=True, slots=True)
class FlowMatching(ContinuousProcess):
    """x = (1 - sigma) x0 + sigma eps, sigma = shift u / (1 + (shift - 1) u) at process time u.

    alpha = 1 - sigma is floored at 2^-12, so that the start, u = 1, keeps a finite rho of 4096.
    The network is fed 1000 sigma.

    Ref: Lipman et al. 2023; shift: Esser et al. 2024, eq. 23.

    Args:
        shift: above 0; above 1 it spends more of the time at high noise.

    Raises:
        InvalidInput: the shift is no number from 1e-6 to 1e6.
    """

    family: ClassVar[str] = "flow-matching"
    shift: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "shift", check_positive("shift", self.shift))

    def network_time(self, t: float) -> float:
        """1000 sigma."""
        return 1000.0 * self._sigma(check_time(t, self.t_max))

    def _sigma(self, t: float) -> float:
        return self.shift * t / self._stretch(t)

    def _stretch(self, t: float) -> float:
        # 1 + (shift - 1) t as a sum of positive terms: a small shift cancels nothing near t = 1.
        return (1.0 - t) + self.shift * t

    def _marginal(self, t: float) -> tuple[float, float]:
        # 1 - sigma with the subtraction done in t, where it is exact.
        alpha = (1.0 - t) / self._stretch(t)
        return max(ALPHA_FLOOR, alpha), self._sigma(t)

    def _time_at(self, rho: float) -> float:
        floored = rho * ALPHA_FLOOR  # sigma, where alpha is at its floor
        if floored > 1.0 - ALPHA_FLOOR:
            return floored / (floored + self.shift * (1.0 - floored))
        return rho / (self.shift + rho)
