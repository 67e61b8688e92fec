"""DEIS, multistep: past noise predictions extrapolated by a polynomial in t, rho or log rho.

The degree r counts as "order" r + 1 in software that counts predictions. Degree 0 is DDIM.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from fewstep.level import Level
from fewstep.process.base import Process
from fewstep.solvers.adams_bashforth import lagrange_weights
from fewstep.solvers.base import Evaluate, S, register
from fewstep.solvers.capped_options import capped_options
from fewstep.solvers.noise_history import advance_with_history
from fewstep.solvers.options import Options, option
from fewstep.solvers.quadrature import (
    basis_integrals,
    gauss_in_log_rho,
    gauss_in_time,
    riemann_in_rho,
    riemann_in_time,
)

MAX_DEGREE = 3
# Grids from this length on keep their degree to the end, whatever `lower_order_final` says.
LOWER_ORDER_STEPS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class DEISOptions(Options):
    """What every member of the family leaves open; each has its own largest degree.

    Step i uses degree min(degree, i): there are no more predictions.
    """

    degree: tuple[int, ...] = option(
        MAX_DEGREE, low=0, high=MAX_DEGREE, per_step=True, help="polynomial degree of each step"
    )
    lower_order_final: bool = option(
        False, help="below 15 steps, degree 0 in the last step and at most 1 in the one before"
    )

    def degree_of(self, i: int) -> int:
        """Degree of step i, warm-up and end rule included."""
        degree, left = min(self.degree[i], i), len(self.degree) - 1 - i
        if self.lower_order_final and left < 2 and len(self.degree) < LOWER_ORDER_STEPS:
            degree = min(degree, left)
        return degree


@dataclass(frozen=True, slots=True, kw_only=True)
class QuadratureOptions(DEISOptions):
    """The members that the authors' package has, with its rule of integration."""

    quadrature: str = option(
        "exact",
        choices=("exact", "riemann10000"),
        help="how coefficients are integrated: `exact`, or the authors' sum of 10000 left ends",
    )


# (newest levels, newest first; end of the step) -> what the predictions at these count.
Weights: TypeAlias = Callable[[Sequence[Level], Level], Sequence[float]]


def deis_tab(
    evaluate: Evaluate[S],
    x: S,
    levels: Sequence[Level],
    process: Process,
    *,
    options: QuadratureOptions,
) -> S:
    """Polynomial in process time. Ref: Zhang, Chen 2023 (DEIS), tAB-DEIS."""
    is_exact = options.quadrature == "exact"

    def weights(past: Sequence[Level], t: Level) -> Sequence[float]:
        rule = (gauss_in_time if is_exact else riemann_in_time)(past[0], t, process)
        return basis_integrals([level.t for level in past], rule)

    return _advance(evaluate, x, levels, weights, options)


def deis_rhoab(
    evaluate: Evaluate[S],
    x: S,
    levels: Sequence[Level],
    process: Process,
    *,
    options: QuadratureOptions,
) -> S:
    """Polynomial in rho: variable-step Adams-Bashforth. Ref: Zhang, Chen 2023 (DEIS), rhoAB-DEIS.

    k-diffusion's `lms` is this one, with its order one above the degree.
    """

    def weights(past: Sequence[Level], t: Level) -> Sequence[float]:
        nodes = [level.rho for level in past]
        if options.quadrature == "exact":
            return lagrange_weights(nodes, past[0].rho, t.rho)
        return basis_integrals(nodes, riemann_in_rho(past[0], t))

    return _advance(evaluate, x, levels, weights, options)


def deis_logrhoab(
    evaluate: Evaluate[S],
    x: S,
    levels: Sequence[Level],
    process: Process,
    *,
    options: DEISOptions,
) -> S:
    """Polynomial in log rho. Ref: diffusers' DEISMultistepScheduler; not in the DEIS paper."""

    def weights(past: Sequence[Level], t: Level) -> Sequence[float]:
        return basis_integrals([-level.lam for level in past], gauss_in_log_rho(past[0], t))

    return _advance(evaluate, x, levels, weights, options)


def _advance(
    evaluate: Evaluate[S],
    x: S,
    levels: Sequence[Level],
    weights: Weights,
    options: DEISOptions,
) -> S:
    """The loop that all members share. Ref: Zhang, Chen 2023 (DEIS)."""

    def step_weights(i: int) -> Sequence[float]:
        past = levels[i - options.degree_of(i) : i + 1]
        return weights(past[::-1], levels[i + 1])

    v = advance_with_history(evaluate, x / levels[0].alpha, levels, step_weights)
    return levels[-1].alpha * v


for _degree in range(1, MAX_DEGREE + 1):
    for _name, _solver, _base in (
        ("deis-tab", deis_tab, QuadratureOptions),
        ("deis-rhoab", deis_rhoab, QuadratureOptions),
        ("deis-logrhoab", deis_logrhoab, DEISOptions),
    ):
        register(
            f"{_name}{_degree}",
            order=_degree + 1,
            memory=_degree + 1,
            options=capped_options(_base, "degree", _degree),
        )(_solver)
