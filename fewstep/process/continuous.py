"""The common part of processes given by formulas: what differs is the marginal and its inverse."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import fields
from typing import Any, ClassVar

from fewstep.level import Level
from fewstep.process.checks import check_rho, check_time


class ContinuousProcess(ABC):
    """A process over real-valued times; derived classes are frozen dataclasses of its parameters.

    Time 0 is the clean level in every process, also where the formula leaves a little noise there
    (VP-cosine, VE): such a process has no level between clean and `t_min` by ratio.
    """

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Any]]
    family: ClassVar[str]

    @property
    def t_min(self) -> float:
        """The least noisy time that can be evaluated."""
        return 1e-3

    @property
    def t_max(self) -> float:
        """The noisiest time."""
        return 1.0

    @property
    def initial_scale(self) -> float:
        """Standard deviation of the start states at `t_max`: 1 up to what is left of the data."""
        return 1.0

    def at(self, t: float) -> Level:
        """The level at `t` in [0, t_max]; 0 is clean.

        Raises:
            InvalidInput: `t` is outside.
        """
        t = check_time(t, self.t_max)
        if t == 0.0:
            return Level(t=0.0, alpha=1.0, sigma=0.0)
        alpha, sigma = self._marginal(t)
        return Level(t=t, alpha=alpha, sigma=sigma)

    def at_rho(self, rho: float) -> Level:
        """The level with noise-to-signal ratio `rho`, clamped to the noisiest; 0 is clean.

        Raises:
            InvalidInput: `rho` is negative or not a number.
        """
        top = self.at(self.t_max)
        if check_rho(rho) >= top.rho:
            return top
        if rho == 0.0:
            return self.at(0.0)
        return self.at(min(self._time_at(rho), self.t_max))

    def network_time(self, t: float) -> float:
        """1000 t - 1, not below 0: the index a table of 1000 would have there.

        Ref: SciRE-Solver's code, its time map of continuous processes. Networks trained with
        another map (score-SDE's feed 999 t) get it in their adapter, which is called with `t`.
        """
        return max(0.0, 1000.0 * check_time(t, self.t_max) - 1.0)

    def describe(self) -> dict[str, object]:
        """The process as plain JSON values: its family and its parameters."""
        return {"family": self.family} | {f.name: getattr(self, f.name) for f in fields(self)}

    @abstractmethod
    def _marginal(self, t: float) -> tuple[float, float]:
        """Alpha and sigma at a time above 0."""

    @abstractmethod
    def _time_at(self, rho: float) -> float:
        """The time of a ratio between 0 and that of `t_max`, both excluded."""
