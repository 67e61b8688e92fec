"""The flow as a plain integral, in the two forms that the SciRE solvers work on."""

from __future__ import annotations

from dataclasses import dataclass

from fewstep.errors import InvalidInput
from fewstep.level import Level
from fewstep.process.base import Process
from fewstep.solvers.base import Evaluate, S


@dataclass(frozen=True, slots=True)
class ScoreIntegrand:
    """dv / du = F for a rescaled state v = x / scale.

    Version 1 integrates the predicted noise: u = rho, v = x / alpha, F = eps. Version 2 integrates
    the denoised prediction: u = 1 / rho, v = x / sigma, F = denoised. Ref: Li et al. 2023
    (SciRE-Solver), section 2.
    """

    version: int

    def u(self, at: Level) -> float:
        """The coordinate of a level."""
        return at.rho if self.version == 1 else 1.0 / at.rho

    def level(self, u: float, process: Process) -> Level:
        """The level at a coordinate."""
        return process.at_rho(u if self.version == 1 else 1.0 / u)

    def scale(self, at: Level) -> float:
        """x / v."""
        return at.alpha if self.version == 1 else at.sigma

    def slope(self, evaluate: Evaluate[S], v: S, at: Level) -> S:
        """F: the predicted noise (v - denoised) / rho, or the denoised prediction."""
        denoised = evaluate(self.scale(at) * v, at)
        return (v - denoised) / at.rho if self.version == 1 else denoised

    def step(self, s: Level, t: Level) -> float:
        """h = u_t - u_s.

        Raises:
            InvalidInput: both times are one level, so there is no step to divide by.
        """
        h = self.u(t) - self.u(s)
        if h == 0.0:
            raise InvalidInput(
                f"times: {s.t!r} and {t.t!r} are one noise level; allowed: levels that differ",
                field="times",
            )
        return h

    def share(self, inner: Level, s: Level, t: Level) -> float:
        """Where between s (0) and t (1) a level is, in u.

        Raises:
            InvalidInput: the step is so short that a level inside it rounds to its start.
        """
        share = (self.u(inner) - self.u(s)) / self.step(s, t)
        if not share > 0.0:
            raise InvalidInput(
                f"times: no level between {s.t!r} and {t.t!r}; allowed: longer steps",
                field="times",
            )
        return share
