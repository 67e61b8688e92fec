"""A Gaussian mixture in one dimension with its exact denoiser: the truth for solver tests."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from fewstep.denoisers import StackedLevel
from fewstep.level import Level
from fewstep.solvers import Kind

MEANS = (-1.2, 0.3, 1.0)
WEIGHTS = (0.3, 0.5, 0.2)
SPREAD = 0.35


class MixtureDenoiser:
    """E[x0 | x] under the mixture, element by element, for float64 states of shape (B, D)."""

    def __call__(self, x: Tensor, at: StackedLevel, kind: Kind = "denoised") -> Tensor:
        alpha, sigma = at.coefficients(x)
        variance = alpha**2 * SPREAD**2 + sigma**2
        logits = torch.stack(
            [
                math.log(weight) - (x - alpha * mean) ** 2 / (2 * variance)
                for weight, mean in zip(WEIGHTS, MEANS, strict=True)
            ]
        )
        posterior = torch.stack(
            [mean + alpha * SPREAD**2 / variance * (x - alpha * mean) for mean in MEANS]
        )
        return (torch.softmax(logits, dim=0) * posterior).sum(dim=0)


def exact_flow(start: Tensor, top: Level, bottom: Level) -> Tensor:
    """The probability-flow solution from `top` to `bottom`, by an adaptive integrator at 1e-12."""
    denoiser = MixtureDenoiser()

    def slope(log_rho: float, v: np.ndarray) -> np.ndarray:
        rho = math.exp(log_rho)
        alpha = 1.0 / math.sqrt(1.0 + rho * rho)
        level = Level(0.0, alpha, alpha * rho)
        state = torch.from_numpy(v)[:, None] * alpha
        at = StackedLevel.of(level, 0.0, len(v), torch.device("cpu"))
        derivative: np.ndarray = v - denoiser(state, at)[:, 0].numpy()
        return derivative  # dv / dln(rho) = rho * eps = v - denoised

    solution = solve_ivp(
        slope,
        (math.log(top.rho), math.log(bottom.rho)),
        (start[:, 0] / top.alpha).numpy(),
        method="DOP853",
        rtol=1e-12,
        atol=1e-13,
    )
    return torch.from_numpy(solution.y[:, -1])[:, None] * bottom.alpha
