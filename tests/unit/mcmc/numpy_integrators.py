"""The published integrators once more, in numpy from their table: per-sample levels, VE states."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from tests.unit.mcmc.numpy_dlg import Array, NumpyDLG

# (x, sigma_0, N, generator) -> samples; sigma_min is 0.01.
Integrate = Callable[[Array, Array, int, np.random.Generator], Array]
SIGMA_MIN = 0.01


def score(x: Array, sigma: Array) -> Array:
    """Of the mixture with noise sigma, one level per row."""
    levels = sigma.ravel()
    return NumpyDLG(np.ones_like(levels), levels).score(x, np.arange(len(x)))


def _karras(sigma_0: Array, count: int) -> list[Array]:
    top, bottom = sigma_0 ** (1 / 7), SIGMA_MIN ** (1 / 7)
    levels = [(top + i / (count - 2) * (bottom - top)) ** 7 for i in range(count - 1)]
    return [*levels, np.zeros_like(sigma_0)]


def _heun(x: Array, at: Array, to: Array) -> Array:
    slope = -at * score(x, at)
    euler = x + (to - at) * slope
    if not to.any():
        return euler
    return x + 0.5 * (to - at) * (slope - to * score(euler, to))


def kar1(x: Array, sigma_0: Array, count: int, rng: np.random.Generator) -> Array:
    """Deterministic Heun."""
    levels = _karras(sigma_0, count)
    for at, to in pairwise(levels):
        x = _heun(x, at, to)
    return x


def kar2(x: Array, sigma_0: Array, count: int, rng: np.random.Generator) -> Array:
    """Heun from levels to which noise was added, drawn in every step."""
    levels = _karras(sigma_0, count)
    for at, to in pairwise(levels):
        most = min(80 / count, math.sqrt(2) - 1)
        raised = at * (1 + np.where((at >= 0.05) & (at <= 1.0), most, 0.0))
        z = 1.007 * rng.standard_normal(x.shape)
        x = _heun(x + np.sqrt(raised**2 - at**2) * z, raised, to)
    return x


def _geometric(sigma_0: Array, count: int) -> list[Array]:
    shares: npt.NDArray[np.float64] = np.linspace(0.0, 1.0, count)
    return [SIGMA_MIN * (sigma_0 / SIGMA_MIN) ** share for share in shares[::-1]]


def pf(x: Array, sigma_0: Array, count: int, rng: np.random.Generator) -> Array:
    """Probability flow with the steps of reverse diffusion."""
    levels = [*_geometric(sigma_0, count), np.zeros_like(sigma_0)]
    for at, to in pairwise(levels):
        x = x + 0.5 * (at**2 - to**2) * score(x, at)
    return x


def rd(x: Array, sigma_0: Array, count: int, rng: np.random.Generator) -> Array:
    """Reverse diffusion; the last step's noise is drawn and left out."""
    levels = [*_geometric(sigma_0, count), np.zeros_like(sigma_0)]
    for at, to in pairwise(levels):
        mean = x + (at**2 - to**2) * score(x, at)
        x = mean + np.sqrt(at**2 - to**2) * rng.standard_normal(x.shape)
    return mean


def em(x: Array, sigma_0: Array, count: int, rng: np.random.Generator) -> Array:
    """Euler-Maruyama; the last step's noise is drawn and left out."""
    for t in np.linspace(1.0, 1e-5, count):
        at = SIGMA_MIN * (sigma_0 / SIGMA_MIN) ** t
        g2 = 2 * np.log(sigma_0 / SIGMA_MIN) * at**2
        mean: Array = x + g2 / count * score(x, at)
        x = mean + np.sqrt(g2 / count) * rng.standard_normal(x.shape)
    return mean


PUBLISHED: dict[str, Integrate] = {"KAR1": kar1, "KAR2": kar2, "PF": pf, "RD": rd, "EM": em}
