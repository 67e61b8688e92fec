"""Named closed-form time grids: the baselines of every search, and its seeds.

A grid of K steps lists K noise levels to evaluate and the clean level 0 after them. Continuous
formulas come in two variants where they differ: the plain name spreads K points from the noisiest
to the least noisy level, which is then followed by the jump to 0 (as samplers in tools do); the
variant `-to-clean` spreads K + 1 points and replaces the last by 0 (as in papers).

Ref: Karras et al. 2022 (EDM), eq. 5; Nichol, Dhariwal 2021; Lu et al. 2022; Sabour et al. 2024;
the discrete spacings as in diffusers (leading, linspace, trailing) and ComfyUI (simple, beta).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from fewstep.errors import InvalidInput
from fewstep.process.base import Process
from fewstep.process.vp_discrete import VPDiscrete
from fewstep.registry import Registry

# (process, number of points) -> noise-to-signal ratios or times of the points, from noise to data.
_Curve: TypeAlias = Callable[[Process, np.ndarray], list[float]]
Spacing: TypeAlias = Callable[[VPDiscrete, int], list[int]]

SPACINGS: Registry[Spacing] = Registry("spacing")


def grid(name: str, process: VPDiscrete, steps: int) -> tuple[float, ...]:
    """Process times of a named grid: `steps` nodes of the process and 0, strictly decreasing.

    Raises:
        UnknownName: no such spacing.
        InvalidInput: the spacing has no such grid, two of its points round to one index.
    """
    if not 1 <= steps <= process.num_train_timesteps:
        raise InvalidInput(
            f"steps={steps}: allowed: 1 to {process.num_train_timesteps}", field="steps"
        )
    indices = SPACINGS.get(name, field="spacing")(process, steps)
    if len(indices) != steps or any(b >= a for a, b in pairwise(indices)):
        raise InvalidInput(
            f"spacing={name!r}: points of {steps} steps fall together: {indices}", field="spacing"
        )
    return (*(process.time_of(index) for index in indices), 0.0)


def named_grids(process: VPDiscrete, steps: int) -> dict[str, tuple[float, ...]]:
    """Every named grid that exists for this many steps, by name."""
    grids: dict[str, tuple[float, ...]] = {}
    for name in SPACINGS.names():
        try:
            grids[name] = grid(name, process, steps)
        except InvalidInput:
            continue  # its points fall together at this many steps
    return grids


def _nearest_index(process: VPDiscrete, rho: float) -> int:
    """The node nearest in ln rho, as ComfyUI rounds."""
    position = process.at_rho(rho).t * process.num_train_timesteps - 1.0
    low = min(max(math.floor(position), 0), process.num_train_timesteps - 1)
    high = min(low + 1, process.num_train_timesteps - 1)
    distances = [abs(process.at(process.time_of(k)).lam + math.log(rho)) for k in (low, high)]
    return low if distances[0] <= distances[1] else high


def _time_indices(process: VPDiscrete, times: np.ndarray) -> list[int]:
    last = process.num_train_timesteps - 1
    return [min(max(round(t * (last + 1)) - 1, 0), last) for t in times.tolist()]


def _rho_indices(process: VPDiscrete, rhos: np.ndarray) -> list[int]:
    return [_nearest_index(process, rho) for rho in rhos.tolist()]


def _ends(process: VPDiscrete) -> tuple[float, float]:
    """The largest and smallest noise-to-signal ratio of the table."""
    return process.at(process.t_max).rho, process.at(process.t_min).rho


def _register_curve(name: str, curve: Callable[[VPDiscrete, np.ndarray], list[int]]) -> None:
    """Register both variants of a formula in u, from 0 (noise) to 1 (data)."""

    def plain(process: VPDiscrete, steps: int) -> list[int]:
        u = np.linspace(0.0, 1.0, steps) if steps > 1 else np.zeros(1)
        return curve(process, u)

    def to_clean(process: VPDiscrete, steps: int) -> list[int]:
        return curve(process, np.linspace(0.0, 1.0, steps + 1)[:-1])

    SPACINGS.register(name, plain)
    SPACINGS.register(f"{name}-to-clean", to_clean)


# Spacings of discrete models, on indices.


def _leading(process: VPDiscrete, steps: int) -> list[int]:
    stride = process.num_train_timesteps // steps
    return [(steps - 1 - i) * stride for i in range(steps)]


def _trailing(process: VPDiscrete, steps: int) -> list[int]:
    n = process.num_train_timesteps
    return [round(n - i * n / steps) - 1 for i in range(steps)]


def _linspace(process: VPDiscrete, steps: int) -> list[int]:
    last = process.num_train_timesteps - 1
    return [round(last * (1.0 - i / max(steps - 1, 1))) for i in range(steps)]


def _simple(process: VPDiscrete, steps: int) -> list[int]:
    n = process.num_train_timesteps
    return [n - 1 - (i * n) // steps for i in range(steps)]


# Curves in time.


def _power(exponent: float) -> Callable[[VPDiscrete, np.ndarray], list[int]]:
    def curve(process: VPDiscrete, u: np.ndarray) -> list[int]:
        top, bottom = process.t_max ** (1 / exponent), process.t_min ** (1 / exponent)
        return _time_indices(process, (top + u * (bottom - top)) ** exponent)

    return curve


def _beta(process: VPDiscrete, u: np.ndarray) -> list[int]:
    quantiles = _beta_quantile(1.0 - u)
    return _time_indices(process, process.t_min + (process.t_max - process.t_min) * quantiles)


def _beta_quantile(probability: np.ndarray, a: float = 0.6, num_cells: int = 200_000) -> np.ndarray:
    """Quantiles of the symmetric Beta(a, a), by inverting its integral in the angle.

    x = sin^2(angle) turns the density into 2 (sin cos)^(2a-1), which is bounded for a > 0.5, so a
    midpoint rule is accurate to 1e-7, far below the distance of two indices.
    """
    edges = np.linspace(0.0, np.pi / 2, num_cells + 1)
    middle = 0.5 * (edges[1:] + edges[:-1])
    cumulative = np.cumsum((np.sin(middle) * np.cos(middle)) ** (2 * a - 1))
    cumulative = np.concatenate([[0.0], cumulative / cumulative[-1]])
    quantiles: np.ndarray = np.sin(np.interp(probability, cumulative, edges)) ** 2
    return quantiles


# Curves in the noise-to-signal ratio.


def _log_snr(process: VPDiscrete, u: np.ndarray) -> list[int]:
    top, bottom = _ends(process)
    return _rho_indices(process, np.exp(np.log(top) + u * (np.log(bottom) - np.log(top))))


def _karras(process: VPDiscrete, u: np.ndarray, exponent: float = 7.0) -> list[int]:
    top, bottom = (end ** (1 / exponent) for end in _ends(process))
    return _rho_indices(process, (top + u * (bottom - top)) ** exponent)


def _polyexponential(process: VPDiscrete, u: np.ndarray, exponent: float = 2.0) -> list[int]:
    top, bottom = (math.log(end) for end in _ends(process))
    return _rho_indices(process, np.exp(bottom + (1.0 - u) ** exponent * (top - bottom)))


def _arctan(width: float) -> Callable[[VPDiscrete, np.ndarray], list[int]]:
    """The KL-optimal grid of first-order sampling when the data is N(0, width^2 I)."""

    def curve(process: VPDiscrete, u: np.ndarray) -> list[int]:
        top, bottom = (math.atan(end / width) for end in _ends(process))
        return _rho_indices(process, width * np.tan((1.0 - u) * top + u * bottom))

    return curve


SPACINGS.register("leading", _leading)
SPACINGS.register("trailing", _trailing)
SPACINGS.register("linspace", _linspace)
SPACINGS.register("simple", _simple)
_register_curve("uniform-t", _power(1.0))
_register_curve("quadratic-t", _power(2.0))
_register_curve("beta-0.6", _beta)
_register_curve("log-snr", _log_snr)
_register_curve("karras-7", _karras)
_register_curve("polyexponential-2", _polyexponential)
for _width in (0.5, 0.7, 1.0):
    _register_curve(f"arctan-{_width}", _arctan(_width))
