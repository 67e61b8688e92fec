"""Guided sampling problems in two dimensions with a known answer: a smooth and a stiff one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from fewstep.denoisers import Denoiser, StackedLevel
from fewstep.guidance.guided import guided
from fewstep.process import VPLinear
from fewstep.running import run_eagerly
from tests.mixture2d import MIXTURE, exact_flow, rms, start_states

PROCESS = VPLinear()
TOP, BOTTOM = 1.0, 1e-3


class FirstComponent:
    """Problem A, smooth: log p(component 0 | x) of the mixture."""

    def value(self, x: Tensor, at: StackedLevel) -> Tensor:
        return torch.log(MIXTURE.responsibilities(x, at)[:, 0])

    def gradient(self, x: Tensor, at: StackedLevel) -> Tensor:
        return (at.alpha[:, None] * first_mean() - x) / first_variance(at) - MIXTURE.score(x, at)

    def impute(self, x: Tensor, at: StackedLevel) -> Tensor:
        return x


class KnownCoordinate:
    """Problem B, stiff: the first coordinate of the clean data is known to be 1."""

    def value(self, x: Tensor, at: StackedLevel) -> Tensor:
        return -0.5 * (x[:, 0] - at.alpha).square()

    def gradient(self, x: Tensor, at: StackedLevel) -> Tensor:
        return torch.stack([at.alpha - x[:, 0], torch.zeros_like(x[:, 1])], dim=1)

    def impute(self, x: Tensor, at: StackedLevel) -> Tensor:
        return torch.cat([at.alpha[:, None], x[:, 1:]], dim=1)


Condition: TypeAlias = FirstComponent | KnownCoordinate
A, B = FirstComponent(), KnownCoordinate()


def first_mean() -> Tensor:
    """Where component 0 is."""
    return torch.tensor(MIXTURE.means[0], dtype=torch.float64)


def first_variance(at: StackedLevel) -> Tensor:
    """Variance of the noisy component 0, shape (B, 1)."""
    return (at.alpha**2 * MIXTURE.deviations[0] ** 2 + at.sigma**2)[:, None]


def times(steps: int) -> list[float]:
    """Uniform times from 1 to 1e-3."""
    grid: list[float] = np.linspace(TOP, BOTTOM, steps + 1).tolist()
    return grid


def problem(condition: Condition, scale: float) -> Denoiser:
    """The mixture under that guidance; answers every kind."""
    return guided(MIXTURE, condition, scale=scale)


@cache
def truth(condition: Condition, scale: float) -> Tensor:
    """The guided flow at the end of the grids."""
    return exact_flow(
        start_states(),
        PROCESS.at(TOP),
        PROCESS.at(BOTTOM),
        process=PROCESS,
        gradient=lambda x, at: scale * condition.gradient(x, at),
    )


def error(
    condition: Condition,
    scale: float,
    solver: str,
    steps: int,
    options: Mapping[str, object] | None = None,
) -> float:
    """Root mean square distance of a solver's samples to the guided flow.

    Eager: a program's rows grow with every step, which takes long at hundreds of them.
    """
    found = run_eagerly(
        problem(condition, scale),
        start_states(),
        times=times(steps),
        process=PROCESS,
        solver=solver,
        options=options,
    )
    return rms(found - truth(condition, scale))


def fitted_order(errors: Mapping[int, float]) -> float:
    """The slope of error over step in logarithms; errors by number of steps."""
    return -float(np.polyfit(np.log(list(errors)), np.log(list(errors.values())), 1)[0])
