"""Formulas of continuous grids: where between two ends the points lie.

Each gets the noisy end, the clean end and shares `u` of the way, from 0 (noise) to 1 (data), and
gives the values there: process times or noise-to-signal ratios, as its `Curve` says.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from fewstep.errors import InvalidInput

Shares: TypeAlias = npt.NDArray[np.float64]

# Below 0.5 the density in the angle is not bounded, above 10 the grid is all but one point.
BETA_RANGE = (0.5, 10.0)
_BETA_CELLS = 200_000


@dataclass(frozen=True, slots=True)
class Curve:
    """A formula (noisy end, clean end, u) -> values, and the coordinate it is in."""

    coordinate: Literal["t", "rho"]
    formula: Callable[[float, float, Shares], Shares]


def power(exponent: float) -> Curve:
    """Uniform in t^(1/exponent): 1 is uniform, 2 the quadratic grid.

    Ref: Zhang, Chen 2023 (DEIS), whose few-step results use the quadratic one.
    """
    _check("exponent", exponent, 0.1, 100.0)
    return Curve("t", lambda top, bottom, u: _power(top, bottom, u, exponent))


def karras(exponent: float) -> Curve:
    """Uniform in rho^(1/exponent). Ref: Karras et al. 2022 (EDM), eq. 5."""
    _check("exponent", exponent, 0.1, 100.0)
    return Curve("rho", lambda top, bottom, u: _power(top, bottom, u, exponent))


def log_snr() -> Curve:
    """Uniform in lam = -ln rho. Ref: Lu et al. 2022 (DPM-Solver), its uniform-lambda grid."""

    def formula(top: float, bottom: float, u: Shares) -> Shares:
        ratios: Shares = np.exp(np.log(top) + u * (np.log(bottom) - np.log(top)))
        return ratios

    return Curve("rho", formula)


def nsr(k: float) -> Curve:
    """Uniform in -ln(rho + k rho_min): k = 0 is log-SNR, a large k uniform in rho.

    Ref: SciRE-Solver (Li et al. 2023), its NSR trajectory; k from 2 to 7 advised there, 3.1 used.
    """
    _check("k", k, 0.0, 1e12)

    def formula(top: float, bottom: float, u: Shares) -> Shares:
        # rho / rho_min = (1 + k) ((R + k) / (1 + k))^(1 - u) - k with R = rho_max / rho_min, as
        # expm1 and log1p: the plain form loses all digits of a large k.
        growth = math.log1p((top / bottom - 1.0) / (1.0 + k))
        return bottom * (1.0 + (1.0 + k) * np.expm1((1.0 - u) * growth))

    return Curve("rho", formula)


def polyexponential(exponent: float) -> Curve:
    """ln rho falls as (1 - u)^exponent. Ref: k-diffusion, its polyexponential schedule."""
    _check("exponent", exponent, 0.1, 100.0)

    def formula(top: float, bottom: float, u: Shares) -> Shares:
        low, high = math.log(bottom), math.log(top)
        return np.exp(low + (1.0 - u) ** exponent * (high - low))

    return Curve("rho", formula)


def arctan(width: float) -> Curve:
    """Uniform in arctan(rho / width): KL-optimal at first order for data from N(0, width^2 I).

    Width 1 is also "cosine-lam", lam = -ln tan(pi w / 2) with w linear between the ends.
    Ref: Sabour et al. 2024 (Align Your Steps), Gaussian data; Nichol, Dhariwal 2021, eq. 17.
    """
    _check("width", width, 1e-6, 1e6)

    def formula(top: float, bottom: float, u: Shares) -> Shares:
        first, last = math.atan(top / width), math.atan(bottom / width)
        return width * np.tan((1.0 - u) * first + u * last)

    return Curve("rho", formula)


def beta(a: float, b: float) -> Curve:
    """Times at quantiles of Beta(a, b); below 1 both crowd the ends.

    Ref: Lee et al. 2024 (Beta Sampling); a = b = 0.6 as tools ship it.
    """
    for name, value in (("a", a), ("b", b)):
        _check(name, value, *BETA_RANGE)

    def formula(top: float, bottom: float, u: Shares) -> Shares:
        return bottom + (top - bottom) * beta_quantile(1.0 - u, a, b)

    return Curve("t", formula)


def beta_quantile(probability: Shares, a: float, b: float) -> Shares:
    """Quantiles of Beta(a, b), by inverting its integral in the angle, to 1e-6."""
    edges, cumulative = _beta_table(a, b)
    quantiles: Shares = np.sin(np.interp(probability, cumulative, edges)) ** 2
    return quantiles


@lru_cache(maxsize=8)
def _beta_table(a: float, b: float) -> tuple[Shares, Shares]:
    """Angles, and the distribution function there.

    x = sin^2(angle) turns the density into 2 sin^(2a-1) cos^(2b-1), which is bounded for a and b
    from 0.5, so a midpoint rule is accurate to 1e-7, far below the distance of two indices.
    """
    edges = np.linspace(0.0, np.pi / 2, _BETA_CELLS + 1)
    middle = 0.5 * (edges[1:] + edges[:-1])
    cumulative = np.cumsum(np.sin(middle) ** (2 * a - 1) * np.cos(middle) ** (2 * b - 1))
    return edges, np.concatenate([[0.0], cumulative / cumulative[-1]])


def _power(top: float, bottom: float, u: Shares, exponent: float) -> Shares:
    first, last = top ** (1 / exponent), bottom ** (1 / exponent)
    values: Shares = (first + u * (last - first)) ** exponent
    return values


def _check(name: str, value: float, low: float, high: float) -> None:
    if isinstance(value, bool) or not low <= value <= high:
        raise InvalidInput(f"{name}={value!r}: allowed: {low:g} to {high:g}", field=name)
