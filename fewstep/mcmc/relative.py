"""Schedules that start wherever a chain is: levels as shares of the way from its own level.

A chain's noise level is not known beforehand, so its schedule has no fixed times. What is kept are
shares u_i in [0, 1] of the way from the chain's ratio rho_0 to the last noisy one, rho_min, taken
in rho^(1/exponent): rho_i = (rho_0^(1/e) + u_i (rho_min^(1/e) - rho_0^(1/e)))^e.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from fewstep.errors import InvalidInput
from fewstep.process.base import Process
from fewstep.program import check_times

# The warp of Karras et al. 2022 (EDM), eq. 5, in which shares are measured.
KARRAS_EXPONENT = 7.0
# Where score-SDE's samplers stop, in a time that is 1 at the start and 0 at sigma_min.
LAST_TIME = 1e-5
# A chain must have this factor of noise left to walk through. 1.005 is below the distance (1.0085)
# of the least class of the published grid from its sigma_min, so that grid is never bent.
_LEAST_FACTOR = 1.005


@dataclass(frozen=True, slots=True, kw_only=True)
class RelativeTimes:
    """A schedule relative to the level it starts from.

    Attributes:
        shares: One number per noisy level, strictly increasing from 0, at most 1.
        rho_min: Noise-to-signal ratio at share 1, the last noisy level of most schedules.
        exponent: Of the warp; None measures shares in log rho, the limit of large exponents.
        ends_clean: Whether a step to the clean level follows.
    """

    shares: tuple[float, ...]
    rho_min: float
    exponent: float | None = KARRAS_EXPONENT
    ends_clean: bool = True

    def __post_init__(self) -> None:
        is_within = bool(self.shares) and self.shares[0] == 0.0 and self.shares[-1] <= 1.0
        if not is_within or any(not b > a for a, b in pairwise(self.shares)):
            raise InvalidInput(
                f"shares={self.shares}: must strictly increase from 0 to at most 1", field="shares"
            )
        if len(self.shares) == 1 and not self.ends_clean:
            raise InvalidInput(
                "shares: one level is no schedule unless it ends clean", field="shares"
            )
        if not (math.isfinite(self.rho_min) and self.rho_min > 0.0):
            raise InvalidInput(f"rho_min={self.rho_min!r}: allowed: above 0", field="rho_min")
        if self.exponent is not None and not 1.0 <= self.exponent <= 100.0:
            raise InvalidInput(
                f"exponent={self.exponent!r}: allowed: 1 to 100, or none", field="exponent"
            )

    def rhos(self, rho_0: float, *, rho_min: float | None = None) -> tuple[float, ...]:
        """The noisy levels' ratios from `rho_0` down to `rho_min`, strictly decreasing."""
        bottom = _warped(self.rho_min if rho_min is None else rho_min, self.exponent)
        top = _warped(rho_0, self.exponent)
        inner = (_unwarped(top + u * (bottom - top), self.exponent) for u in self.shares[1:])
        return (rho_0, *inner)

    def rebased(self, rho_0: float, process: Process) -> tuple[float, ...]:
        """Process times of the schedule for a chain at `rho_0`, strictly decreasing.

        A chain at or below the last noisy level gets the same shares of a shorter way: the last
        level is moved below the chain's by the factor 1.005, but never below the least level of the
        process; and a chain closer to that level than this factor starts from that far above it,
        as if it had up to 0.5 % more noise than it has.
        """
        # What can be evaluated: some processes have no levels below that of t_min and clamp there.
        least = process.at_rho(min(self.rho_min, process.at(process.t_min).rho)).rho
        start = max(rho_0, _LEAST_FACTOR * least)
        bottom = max(least, min(self.rho_min, start / _LEAST_FACTOR))
        times = [process.at_rho(rho).t for rho in self.rhos(start, rho_min=bottom)]
        return (*times, 0.0) if self.ends_clean else tuple(times)

    def to_dict(self) -> dict[str, object]:
        """As plain JSON values."""
        return {
            "shares": list(self.shares),
            "rho_min": self.rho_min,
            "exponent": self.exponent,
            "ends_clean": self.ends_clean,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, object]) -> RelativeTimes:
        """Read what `to_dict` wrote.

        Raises:
            InvalidInput: a part is missing or not of its kind.
        """
        try:
            shares, exponent = document["shares"], document["exponent"]
            if not isinstance(shares, list) or not isinstance(document["ends_clean"], bool):
                raise TypeError("shares must be a list, ends_clean true or false")
            return cls(
                shares=tuple(_number(share) for share in shares),
                rho_min=_number(document["rho_min"]),
                exponent=None if exponent is None else _number(exponent),
                ends_clean=document["ends_clean"],
            )
        except (KeyError, TypeError) as error:
            raise InvalidInput(f"relative_times: {error}", field="relative_times") from error


def relative_times(
    times: Sequence[float], process: Process, *, exponent: float | None = KARRAS_EXPONENT
) -> RelativeTimes:
    """The shares of a nominal schedule; its first time is the nominal start.

    Raises:
        InvalidInput: the times are no grid of the process.
    """
    check_times(times, process=process)
    rhos = [process.at(t).rho for t in times]
    ends_clean = rhos[-1] == 0.0
    noisy = rhos[:-1] if ends_clean else rhos
    warped = [_warped(rho, exponent) for rho in noisy]
    way = warped[-1] - warped[0]
    shares = tuple((value - warped[0]) / way for value in warped) if len(noisy) > 1 else (0.0,)
    return RelativeTimes(shares=shares, rho_min=noisy[-1], exponent=exponent, ends_clean=ends_clean)


def karras_levels(count: int, sigma_min: float) -> RelativeTimes:
    """Levels of the Karras integrators of parameter N = `count`: N - 1 noisy ones, then clean.

    Ref: Kim, Ye 2023 with Karras et al. 2022 (EDM), eq. 5: shares i / (N - 2), exponent 7.

    Raises:
        InvalidInput: fewer than one noisy level.
    """
    return RelativeTimes(shares=_even_shares(count - 1), rho_min=sigma_min)


def geometric_levels(count: int, sigma_min: float) -> RelativeTimes:
    """`count` noisy levels evenly spread in log sigma down to `sigma_min`, then clean.

    Raises:
        InvalidInput: fewer than one noisy level.
    """
    return RelativeTimes(shares=_even_shares(count), rho_min=sigma_min, exponent=None)


def euler_maruyama_levels(count: int, sigma_min: float) -> RelativeTimes:
    """`count` levels sigma_min (sigma_0 / sigma_min)^t, t from 1 to 1e-5 evenly, then clean.

    Raises:
        InvalidInput: fewer than one noisy level.
    """
    shares = tuple((1.0 - LAST_TIME) * share for share in _even_shares(count))
    return RelativeTimes(shares=shares, rho_min=sigma_min, exponent=None)


def _even_shares(levels: int) -> tuple[float, ...]:
    if levels < 1:
        raise InvalidInput(f"levels={levels}: noisy levels; allowed: 1 and more", field="count")
    return tuple(i / max(levels - 1, 1) for i in range(levels))


def _warped(rho: float, exponent: float | None) -> float:
    return math.log(rho) if exponent is None else rho ** (1.0 / exponent)


def _unwarped(value: float, exponent: float | None) -> float:
    return math.exp(value) if exponent is None else value**exponent


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return float(value)
