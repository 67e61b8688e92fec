"""Chains denoised by the adaptive probability flow, each on its own way down.

Ref: Kim, Ye 2023, its RK45 entries.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fewstep.adaptive import FlowResult, integrate
from fewstep.denoisers import Denoiser
from fewstep.errors import InvalidInput
from fewstep.mcmc.levels import stack_levels
from fewstep.mcmc.relative import LAST_TIME
from fewstep.process.base import Process


def denoise_adaptively(
    denoiser: Denoiser,
    x_hat: Tensor,
    rhos: Sequence[float],
    *,
    process: Process,
    rho_min: float,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    max_calls: int = 10_000,
) -> FlowResult:
    """Follow each chain's probability flow down to `rho_min`, with steps common to all.

    In a time t that is 1 at the chain's ratio and 0 at rho_min, rho = rho_min (rho_0 / rho_min)^t
    and dv / dt = log(rho_0 / rho_min) (v - denoised); it stops at t = 1e-5. One error norm holds
    for the whole batch, as in `fewstep.adaptive.probability_flow`. Chains at or below rho_min stay
    where they are.

    Args:
        denoiser: the model.
        x_hat: states (C, ...) divided by alpha.
        rhos: the ratio of each.
        process: the noise process.
        rho_min: ratio at which all arrive.
        rtol: relative tolerance.
        atol: absolute tolerance in units of clean data.
        max_calls: most denoiser calls allowed.

    Returns:
        States divided by alpha, of a little more noise than `rho_min`, and calls per sample.

    Raises:
        InvalidInput: `max_calls` were not enough.
    """
    flow = _RelativeFlow(denoiser, process, tuple(rhos), rho_min, max_calls)
    v = integrate(flow.slope, x_hat, 1.0, LAST_TIME, rtol=rtol, atol=atol)
    return FlowResult(v, flow.calls)


@dataclass(slots=True)
class _RelativeFlow:
    """The right-hand side in relative time, which counts and limits its calls."""

    denoiser: Denoiser
    process: Process
    rhos: tuple[float, ...]
    rho_min: float
    max_calls: int
    calls: int = 0

    def slope(self, t: float, v: Tensor) -> Tensor:
        """dv / dt."""
        if self.calls >= self.max_calls:
            raise InvalidInput(
                f"max_calls={self.max_calls}: the flow is only at t={t:.4g} of its way from 1 to "
                "0; allowed: more calls, or larger rtol and atol",
                field="max_calls",
            )
        self.calls += 1
        ways = [max(0.0, math.log(rho / self.rho_min)) for rho in self.rhos]
        levels = [
            self.process.at_rho(rho * math.exp((t - 1.0) * way))
            for rho, way in zip(self.rhos, ways, strict=True)
        ]
        at = stack_levels(levels, self.process, v.device)
        alpha, _ = at.coefficients(v)
        way = torch.tensor(ways, dtype=v.dtype, device=v.device).view(alpha.shape)
        return way * (v - self.denoiser(alpha * v, at))
