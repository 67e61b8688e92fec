"""Quadrature rules for integrals of smooth functions over a step, d rho being the measure.

DEIS integrates polynomials in t, rho or log rho over rho. In log rho the integrands are analytic
within pi/2 of the real axis for every process here, so a few Gauss points do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fewstep.level import Level
from fewstep.process.base import Process
from fewstep.process.vp_discrete import VPDiscrete
from fewstep.solvers.adams_bashforth import check_distinct

Array = npt.NDArray[np.float64]

# 8 points on panels of half a unit of log rho: more change nothing beyond 1e-14 of a coefficient.
GAUSS_NODES, GAUSS_WEIGHTS = np.polynomial.legendre.leggauss(8)
PANEL_WIDTH = 0.5
# Sub-intervals of the published rule.
RIEMANN_PANELS = 10_000


@dataclass(frozen=True, slots=True)
class Rule:
    """The integral of f over the step's rho is about sum(weights * f(points))."""

    points: Array
    weights: Array


def basis_integrals(nodes: Sequence[float], rule: Rule) -> tuple[float, ...]:
    """Integrals of the Lagrange basis polynomials on `nodes`, in the variable of the rule's points.

    Raises:
        InvalidInput: two nodes are equal.
    """
    check_distinct(nodes)
    return tuple(
        float(rule.weights @ _basis_values(nodes, j, rule.points)) for j in range(len(nodes))
    )


def gauss_in_log_rho(s: Level, t: Level) -> Rule:
    """Points in log rho, from level `s` to the less noisy `t`."""
    return _gauss(_edges(s, t))


def gauss_in_time(s: Level, t: Level, process: Process) -> Rule:
    """Points in process time, from level `s` to the less noisy `t`.

    Where a process interpolates a table its time has kinks at the nodes: panels end there.
    """
    edges = _edges(s, t)
    if isinstance(process, VPDiscrete):
        times, ratios = _nodes_between(s, t, process)
        rule = _gauss(np.union1d(edges, np.log(ratios)))
        # ln alpha = -log1p(rho^2) / 2 is what the process interpolates linearly.
        decay = np.log1p(np.exp(2.0 * rule.points))
        return Rule(np.interp(decay, np.log1p(ratios**2), times), rule.weights)
    rule = _gauss(edges)
    points = [process.at_rho(math.exp(u)).t for u in rule.points.tolist()]
    return Rule(np.array(points), rule.weights)


def riemann_in_rho(s: Level, t: Level) -> Rule:
    """Left ends of 10000 equal sub-intervals of rho, as the authors' package sums rhoAB."""
    h = t.rho - s.rho
    return Rule(*_left_ends(s.rho, h, np.ones(RIEMANN_PANELS)))


def riemann_in_time(s: Level, t: Level, process: Process) -> Rule:
    """Left ends of 10000 equal sub-intervals of t, as the authors' package sums tAB.

    The package differentiates rho(t) analytically, this rule by second-order differences between
    the points, which agrees to about 1e-8: the rule itself is off by 1e-4.
    """
    ends = np.linspace(s.t, t.t, RIEMANN_PANELS + 1)
    slopes = np.gradient(_ratios_at(ends, s, t, process), ends, edge_order=2)
    return Rule(*_left_ends(s.t, t.t - s.t, slopes[:-1]))


def _left_ends(start: float, length: float, slopes: Array) -> tuple[Array, Array]:
    points = start + length * np.arange(RIEMANN_PANELS) / RIEMANN_PANELS
    return points, slopes * (length / RIEMANN_PANELS)


def _gauss(edges: Array) -> Rule:
    """Gauss-Legendre points u of the panels between ascending `edges` of log rho.

    The step goes down in rho, so weights are negative.
    """
    half = 0.5 * np.diff(edges)[:, None]
    points = (edges[:-1, None] + half * (1.0 + GAUSS_NODES)).ravel()
    return Rule(points, -(half * GAUSS_WEIGHTS).ravel() * np.exp(points))


def _edges(s: Level, t: Level) -> Array:
    """Equal panels of log rho, none wider than `PANEL_WIDTH`, ascending."""
    panels = max(1, math.ceil((t.lam - s.lam) / PANEL_WIDTH))
    return np.linspace(-t.lam, -s.lam, panels + 1)


def _ratios_at(times: Array, s: Level, t: Level, process: Process) -> Array:
    if isinstance(process, VPDiscrete):
        nodes, ratios = _nodes_between(s, t, process)
        return np.sqrt(np.expm1(np.interp(times, nodes, np.log1p(ratios**2))))
    return np.array([process.at(time).rho for time in times.tolist()])


def _nodes_between(s: Level, t: Level, process: VPDiscrete) -> tuple[Array, Array]:
    """Times and ratios of `t`, the table's nodes inside the step, and `s`: ascending."""
    count = process.num_train_timesteps
    first, last = math.floor(t.t * count) + 1, math.ceil(s.t * count) - 1
    inner = process.node_log_alphas(first, last)
    times = np.concatenate([[t.t], np.arange(first, last + 1) / count, [s.t]])
    ratios = np.concatenate([[t.rho], np.sqrt(np.expm1(-2.0 * inner)), [s.rho]])
    return times, ratios


def _basis_values(nodes: Sequence[float], j: int, points: Array) -> Array:
    values = np.ones_like(points)
    for k, node in enumerate(nodes):
        if k != j:
            values *= (points - node) / (nodes[j] - node)
    return values
