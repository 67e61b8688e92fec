"""Models whose integrand the SciRE solvers see as constant or linear, with their exact flow."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from torch import Tensor

from fewstep.denoisers import Denoiser, StackedLevel
from fewstep.level import Level
from fewstep.solvers import Kind
from tests.solver_order import PROCESS

PUBLISHED = ("m3", "limit", "ramp", "ramp-oct-2023")


def linear_denoiser(version: int, constant: float, slope: float) -> Denoiser:
    """A model whose F is constant + slope * u, wherever the state is."""

    def denoise(x: Tensor, at: StackedLevel, kind: Kind = "denoised") -> Tensor:
        alpha, sigma = at.coefficients(x)
        rho = sigma / alpha
        if version == 2:
            return (constant + slope / rho).expand_as(x)
        return x / alpha - rho * (constant + slope * rho)

    return denoise


def coordinates(version: int, at: Level) -> tuple[float, float]:
    """u, and the scale of the state."""
    return (at.rho, at.alpha) if version == 1 else (1.0 / at.rho, at.sigma)


def exact_linear(
    version: int, times: Sequence[float], constant: float, slope: float, x: Tensor
) -> Tensor:
    """What the flow of `linear_denoiser` does from the first to the last time."""
    (u_s, scale_s), (u_t, scale_t) = (
        coordinates(version, PROCESS.at(t)) for t in (times[0], times[-1])
    )
    return scale_t * (x / scale_s + constant * (u_t - u_s) + slope * (u_t**2 - u_s**2) / 2.0)


def published_rows(solver: str) -> list[object]:
    """(solver, options, order) for each published phi; one in the quick suite."""
    return [
        pytest.param(
            solver,
            {"phi_rule": rule},
            1,
            marks=() if rule == "m3" else pytest.mark.slow,
        )
        for rule in PUBLISHED
    ]


def versions_on(*grids: str) -> list[object]:
    """(grid, version), all of them; the quick suite has one version for each grid, in turn."""
    return [
        pytest.param(grid, version, marks=() if version == 1 + i % 2 else pytest.mark.slow)
        for i, grid in enumerate(grids)
        for version in (1, 2)
    ]
