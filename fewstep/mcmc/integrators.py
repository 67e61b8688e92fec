"""The integrators that published denoising MCMC was measured with, by the names of its plots."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from fewstep.mcmc.relative import (
    LAST_TIME,
    RelativeTimes,
    euler_maruyama_levels,
    geometric_levels,
    karras_levels,
)
from fewstep.registry import Registry

# (the parameter N of the plots, sigma_min) -> levels relative to a chain's own.
Levels: TypeAlias = Callable[[int, float], RelativeTimes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Integrator:
    """A solver of the registry on its levels.

    Attributes:
        solver: Name of the solver.
        levels: The levels of parameter N.
        options: The solver's options at parameter N.
    """

    solver: str
    levels: Levels
    options: Callable[[int], Mapping[str, object]] = lambda count: {}  # noqa: ARG005


def _last_time(_count: int) -> Mapping[str, object]:
    return {"last_time": LAST_TIME}


def _churn(count: int) -> Mapping[str, object]:
    """Gamma is 80 / N, with N one above the number of steps, by which `karras-churn` divides."""
    return {"s_churn": 80.0 * (count - 1) / count}


INTEGRATORS: Registry[Integrator] = Registry("integrator")
INTEGRATORS.register("KAR1", Integrator(solver="heun", levels=karras_levels))
INTEGRATORS.register(
    "KAR2", Integrator(solver="karras-churn", levels=karras_levels, options=_churn)
)
INTEGRATORS.register("PF", Integrator(solver="probability-flow", levels=geometric_levels))
INTEGRATORS.register("RD", Integrator(solver="reverse-diffusion", levels=geometric_levels))
INTEGRATORS.register(
    "EM",
    Integrator(solver="euler-maruyama-uniform", levels=euler_maruyama_levels, options=_last_time),
)
