"""What every noise process offers: levels by time or ratio, and the time its network gets."""

from __future__ import annotations

from typing import Protocol

from fewstep.level import Level


class Process(Protocol):
    """A family of marginals x_t = alpha(t) x0 + sigma(t) eps, from clean (t = 0) to noise.

    Times are process time: 0 is clean, `t_max` the noisiest, `t_min` the least noisy time at
    which a network was trained (so the smallest that a grid may evaluate). Processes are values:
    equal ones compare equal and can be keys.
    """

    @property
    def family(self) -> str:
        """Short name of the family, such as `vp-discrete`."""
        ...

    @property
    def t_min(self) -> float:
        """The least noisy time that can be evaluated, above 0."""
        ...

    @property
    def t_max(self) -> float:
        """The noisiest time."""
        ...

    @property
    def initial_scale(self) -> float:
        """Standard deviation of the start states, which are noise alone, at `t_max`."""
        ...

    def at(self, t: float) -> Level:
        """The level at process time `t` in [0, t_max]."""
        ...

    def at_rho(self, rho: float) -> Level:
        """The level whose noise-to-signal ratio is `rho`, at most that of `t_max`."""
        ...

    def network_time(self, t: float) -> float:
        """What the network is fed as its time at process time `t`."""
        ...

    def describe(self) -> dict[str, object]:
        """The process as plain JSON values, enough for `process_from_description`."""
        ...
