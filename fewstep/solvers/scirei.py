"""SciREI-Solver: the recursive difference in an exponential integrator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from fewstep.level import Level
from fewstep.process.base import Process
from fewstep.solvers.base import Evaluate, S, register
from fewstep.solvers.exponential import inner_level
from fewstep.solvers.exponential import phi as phi_k
from fewstep.solvers.options import option
from fewstep.solvers.scire_form import ScoreIntegrand
from fewstep.solvers.scire_phi import PhiOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class ScireiOptions(PhiOptions):
    """What SciREI-2 leaves open; the authors' code has phi_rule `m3` alone."""

    phi_rule: str = option(
        "given",
        choices=("given", "m3", "limit"),
        help="where phi comes from: `given` is the option phi; m3 is 2/3, limit is (e-1)/e",
    )
    r1: float = option(0.5, low=0.05, high=1.0, help="where the inner level is, from 0 to 1 in lam")


@register("scirei-2", order=2, calls_per_step=2, options=ScireiOptions)
def scirei_2(
    evaluate: Evaluate[S],
    x: S,
    levels: Sequence[Level],
    process: Process,
    *,
    options: ScireiOptions,
) -> S:
    """Single-step in lam on the predicted noise. Ref: Li et al. 2023 (SciRE-Solver), SciREI-2.

    The slope's weight is sigma_t (e^h - 1 - h) / (phi r1 h), where DPM-Solver-2 has
    sigma_t (e^h - 1) / (2 r1). Second order with phi = 1, first with the published 2/3.
    """
    form = ScoreIntegrand(1)  # its v = x / alpha and slope eps; sigma_t = alpha_t rho_t
    v = x / levels[0].alpha
    for (s, t), phi in zip(pairwise(levels), options.phis(len(levels) - 1), strict=True):
        whole = form.step(s, t)
        h = math.log(s.rho / t.rho)  # above 0 wherever the ratios differ, as lam need not be
        start = form.slope(evaluate, v, s)
        inner = inner_level(process, s, t, options.r1)
        r1 = math.log(s.rho / inner.rho) / h
        stage = v + form.step(s, inner) * start  # -rho_1 (e^(r1 h) - 1) = rho_1 - rho_s
        change = form.slope(evaluate, stage, inner) - start
        # (e^h - 1 - h) / h = h phi_2(h)
        v = v + whole * start - (t.rho * h * phi_k(2, h) / (phi * r1)) * change
    return levels[-1].alpha * v
