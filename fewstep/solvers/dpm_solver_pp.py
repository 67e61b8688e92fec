"""DPM-Solver++: single-step and multistep exponential integrators on the denoised prediction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from fewstep.level import Level
from fewstep.process.base import Process
from fewstep.solvers.base import Evaluate, S, register
from fewstep.solvers.exponential import exponential_weights, inner_level, phi
from fewstep.solvers.options import Options, option

_SOLVER_TYPE_HELP = (
    "weight of the slope in second-order steps: midpoint takes half of the constant part's, heun "
    "integrates exactly; both are second order"
)
LOWER_ORDER_FINAL_HELP = (
    "whether the grid's last step has order 1, the second last at most 2, and so on, the step to "
    "the clean level counted; diffusers does so below 15 steps"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DPMSolverPP2SOptions(Options):
    """Where the second evaluation is, and how it counts."""

    r1: float = option(
        0.5, low=0.1, high=1.0, help="place of the second evaluation, as a share of the lambda step"
    )
    solver_type: str = option("midpoint", choices=("midpoint", "heun"), help=_SOLVER_TYPE_HELP)


@dataclass(frozen=True, slots=True, kw_only=True)
class DPMSolverPP2MOptions(Options):
    """Order of each step, and how second-order ones use the slope.

    A step's order is also limited by the predictions there are: the first step has order 1. The
    step to the clean level, which `trace` takes, has order 1.
    """

    order: tuple[int, ...] = option(
        2, low=1, high=2, per_step=True, genes=(1, 2), help="order of each step, history permitting"
    )
    solver_type: str = option(
        "midpoint", choices=("midpoint", "heun"), genes=("midpoint", "heun"), help=_SOLVER_TYPE_HELP
    )
    lower_order_final: bool = option(False, help=LOWER_ORDER_FINAL_HELP)


@dataclass(frozen=True, slots=True, kw_only=True)
class DPMSolverPP3MOptions(Options):
    """Order of each step, and how third-order ones use the curvature.

    A step's order is also limited by the predictions there are: the first step has order 1, the
    second at most 2. The step to the clean level, which `trace` takes, has order 1.
    """

    order: tuple[int, ...] = option(
        3,
        low=1,
        high=3,
        per_step=True,
        genes=(1, 2, 3),
        help="order of each step, history permitting",
    )
    curvature: str = option(
        "published",
        choices=("published", "exact"),
        genes=("published", "exact"),
        help="published takes half of the second-difference term, as the authors and other tools "
        "do, and converges at order 2; exact converges at order 3",
    )
    solver_type: str = option("midpoint", choices=("midpoint", "heun"), help=_SOLVER_TYPE_HELP)
    lower_order_final: bool = option(False, help=LOWER_ORDER_FINAL_HELP)


@register("dpm-solver++-2s", order=2, calls_per_step=2, options=DPMSolverPP2SOptions)
def dpm_solver_pp_2s(
    evaluate: Evaluate[S],
    x: S,
    levels: Sequence[Level],
    process: Process,
    *,
    options: DPMSolverPP2SOptions,
) -> S:
    """Two evaluations per step. Ref: Lu et al. 2022 (DPM-Solver++), algorithm 1."""
    for s, t in pairwise(levels):
        inner = inner_level(process, s, t, options.r1)
        denoised = evaluate(x, s)
        denoised_inner = evaluate(_with_constant(x, denoised, s, inner), inner)
        h = t.lam - s.lam
        slope = _slope_weight(h, options.solver_type) * h / (inner.lam - s.lam)
        x = _with_constant(x, denoised + slope * (denoised_inner - denoised), s, t)
    return x


@register("dpm-solver++-2m", order=2, memory=2, options=DPMSolverPP2MOptions)
def dpm_solver_pp_2m(
    evaluate: Evaluate[S],
    x: S,
    levels: Sequence[Level],
    process: Process,
    *,
    options: DPMSolverPP2MOptions,
) -> S:
    """Second-order multistep in lambda. Ref: Lu et al. 2022 (DPM-Solver++), algorithm 2."""
    orders = step_orders(options.order, lower_final=options.lower_order_final)
    previous: S | None = None
    h_previous = math.nan
    for order, (s, t) in zip(orders, pairwise(levels), strict=False):
        h = t.lam - s.lam
        denoised = evaluate(x, s)
        target = denoised
        if previous is not None and order > 1:
            extrapolation = _slope_weight(h, options.solver_type) * (h / h_previous)
            target = (1.0 + extrapolation) * denoised - extrapolation * previous
        x = _with_constant(x, target, s, t)
        previous, h_previous = denoised, h
    return x


@register("dpm-solver++-3m", order=2, memory=3, options=DPMSolverPP3MOptions)
def dpm_solver_pp_3m(
    evaluate: Evaluate[S],
    x: S,
    levels: Sequence[Level],
    process: Process,
    *,
    options: DPMSolverPP3MOptions,
) -> S:
    """Multistep with second differences. Ref: Lu et al. 2022 (DPM-Solver++), the authors' code.

    The second divided difference, times h^2, is half of h^2 D''; its published weight phi_3(-h) is
    that of the whole. So the order is 2 with default options, with a smaller error than 2M's; with
    `curvature="exact"` it is 3, or 2 on grids so fine that the first step's error is what is left.
    """
    orders = step_orders(options.order, lower_final=options.lower_order_final)
    lams: list[float] = []  # of the predictions so far, newest first
    history: list[S] = []
    for order, (s, t) in zip(orders, pairwise(levels), strict=False):
        denoised = evaluate(x, s)
        lams, history = [s.lam, *lams][:3], [denoised, *history][:3]
        used = min(order, len(history))
        weights = _multistep_weights(lams[:used], t.lam - s.lam, options)
        target = denoised
        for weight, earlier in zip(weights, history[1:used], strict=True):
            target = target + weight * (earlier - denoised)
        x = _with_constant(x, target, s, t)
    return x


def step_orders(order: Sequence[int], *, lower_final: bool) -> tuple[int, ...]:
    """The highest order of each of the grid's K steps, the one to the clean level included."""
    if not lower_final:
        return tuple(order)
    return tuple(min(one, len(order) - i) for i, one in enumerate(order))


def _with_constant(x: S, target: S, s: Level, t: Level) -> S:
    """From `s` to `t` as if the denoised prediction were `target` all along."""
    return (t.sigma / s.sigma) * x - (t.alpha * math.expm1(-(t.lam - s.lam))) * target


def _slope_weight(h: float, solver_type: str) -> float:
    """Mean of the argument tau over a step, which a slope is multiplied with: 1/2, or exact."""
    return 0.5 if solver_type == "midpoint" else phi(2, -h) / phi(1, -h)


def _multistep_weights(
    lams: Sequence[float], h: float, options: DPMSolverPP3MOptions
) -> tuple[float, ...]:
    """Weights of earlier predictions' differences to the newest in the target of a step."""
    nodes = [(lam - lams[0]) / h for lam in lams]
    if len(nodes) == 1:
        return ()
    if len(nodes) == 2:
        return (_slope_weight(h, options.solver_type) / nodes[1],)
    whole = phi(1, -h)
    weights = [weight / whole for weight in exponential_weights(nodes, -h)]
    if options.curvature == "published":
        half = phi(3, -h) / whole
        for j, other in ((1, 2), (2, 1)):  # second divided difference: sum of D_j / prod (r_j - r)
            weights[j] -= half / (nodes[j] * (nodes[j] - nodes[other]))
    return tuple(weights[1:])
