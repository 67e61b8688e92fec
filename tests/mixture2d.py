"""The two-dimensional mixture of the method descriptions, and its exact flow: truth in tests."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from fewstep.denoisers import Denoiser, StackedLevel
from fewstep.denoisers.mixture import GaussianMixture
from fewstep.level import Level
from fewstep.process import Process

MIXTURE = GaussianMixture(
    weights=(0.5, 0.3, 0.2),
    means=((-1.5, 0.5), (1.0, 1.0), (0.5, -1.5)),
    deviations=(0.3, 0.2, 0.4),
)
# Guidance adds s * sigma * gradient to the slope: (x, level) -> gradient, scale included.
Gradient = Callable[[Tensor, StackedLevel], Tensor]


def start_states(count: int = 16) -> Tensor:
    """Unit normal start states (count, 2), float64."""
    return torch.from_numpy(np.random.default_rng(0).standard_normal((count, 2)))


def at_level(level: Level, batch: int) -> StackedLevel:
    """A level for each of a batch's rows; the mixture does not read the network's time."""
    return StackedLevel.of(level, 0.0, batch, torch.device("cpu"))


def exact_flow(
    start: Tensor,
    top: Level,
    bottom: Level,
    *,
    process: Process,
    denoiser: Denoiser = MIXTURE,
    gradient: Gradient | None = None,
) -> Tensor:
    """The (guided) probability flow from `top` to `bottom`, adaptive, relative error 1e-12.

    dv / dln(rho) = v - denoised - rho * sigma * gradient, for v = x / alpha.
    """
    batch, width = start.shape

    def slope(log_rho: float, flat: np.ndarray) -> np.ndarray:
        level = process.at_rho(math.exp(log_rho))
        at = at_level(level, batch)
        v = torch.from_numpy(flat.reshape(batch, width))
        x = level.alpha * v
        change = v - denoiser(x, at)
        if gradient is not None:
            change = change - level.rho * level.sigma * gradient(x, at)
        derivative: np.ndarray = change.numpy().ravel()
        return derivative

    solution = solve_ivp(
        slope,
        (math.log(top.rho), math.log(bottom.rho)),
        (start / top.alpha).numpy().ravel(),
        method="DOP853",
        rtol=1e-12,
        atol=1e-13,
    )
    return torch.from_numpy(solution.y[:, -1].reshape(batch, width)) * bottom.alpha


@cache
def reference(process: Process, top: float, bottom: float) -> Tensor:
    """The exact unguided flow of `start_states()` between two process times, computed once."""
    return exact_flow(start_states(), process.at(top), process.at(bottom), process=process)


def rms(error: Tensor) -> float:
    """Root of the mean square over all entries."""
    return float(error.square().mean().sqrt())
