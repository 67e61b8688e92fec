"""SciRE-Solver, multistep: the same slopes from predictions of earlier steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from fewstep.errors import InvalidInput
from fewstep.level import Level
from fewstep.process.base import Process
from fewstep.solvers.base import Evaluate, S, register
from fewstep.solvers.options import option
from fewstep.solvers.scire import advance_single
from fewstep.solvers.scire_form import ScoreIntegrand
from fewstep.solvers.scire_phi import PhiOptions, multistep_ramps


@dataclass(frozen=True, slots=True, kw_only=True)
class ScireMultistepOptions(PhiOptions):
    """What SciRE-2m and SciRE-3m leave open."""

    version: int = option(
        1, choices=(1, 2), genes=(1, 2), help="1 integrates the noise in rho, 2 denoised in 1/rho"
    )
    multistep_rule: str = option(
        "oct-2023",
        choices=("oct-2023", "apr-2024"),
        help="steps of order 2: `oct-2023` divides by phi^2 and the true ratio of steps, "
        "`apr-2024` by phi and the fourth root of their ratio in log rho",
    )
    ratio_coordinate: str = option(
        "own",
        choices=("own", "nsr"),
        help="version 2: ratios of steps in 1/rho, or, as in the authors' code, in rho",
    )
    warm_up: str = option(
        "lower-order",
        choices=("lower-order", "single-step"),
        help="first step: order 1, or SciRE-2 with r1 = 1/2 for one call more",
    )
    lower_order_final: bool = option(
        False, help="lower the order to the number of noisy steps that are left"
    )

    def check(self, steps: int) -> None:
        """Refuse a coordinate that would have no effect."""
        PhiOptions.check(self, steps)
        if self.ratio_coordinate == "nsr" and self.version == 1:
            raise InvalidInput(
                "options.ratio_coordinate='nsr': is what version=1 uses anyway; allowed: own",
                field="options.ratio_coordinate",
            )

    def orders(self, order: int, steps: int) -> list[int]:
        """Order of each of `steps` noisy steps: how many predictions it combines."""
        orders = [min(order, i + 1) for i in range(steps)]
        if self.lower_order_final:
            orders = [min(one, steps - i) for i, one in enumerate(orders)]
        return orders

    def starts_single(self, steps: int) -> bool:
        """Whether the first of `steps` noisy steps is a single-step one of order 2."""
        is_lowered = self.lower_order_final and steps == 1
        return self.warm_up == "single-step" and not is_lowered


def _count_calls(steps: int, options: ScireMultistepOptions) -> int:
    """Calls of a grid that ends clean: one a step, and one more where the first is single-step."""
    return steps + int(steps > 1 and options.starts_single(steps - 1))


@register("scire-2m", order=2, memory=2, options=ScireMultistepOptions, count_calls=_count_calls)
def scire_2m(
    evaluate: Evaluate[S],
    x: S,
    levels: Sequence[Level],
    process: Process,
    *,
    options: ScireMultistepOptions,
) -> S:
    """Two predictions a step. Ref: Li et al. 2023 (SciRE-Solver), and its code of October 2023.

    With the defaults this is Adams-Bashforth of order 2 in u, on irregular grids too. There
    `multistep_rule="apr-2024"` falls to first order, and so does each published phi on any grid.
    """
    return _multistep(evaluate, x, levels, process, options, order=2)


@register("scire-3m", order=2, memory=3, options=ScireMultistepOptions, count_calls=_count_calls)
def scire_3m(
    evaluate: Evaluate[S],
    x: S,
    levels: Sequence[Level],
    process: Process,
    *,
    options: ScireMultistepOptions,
) -> S:
    """Three predictions a step. Ref: Li et al. 2023 (SciRE-Solver), and its code of October 2023.

    Not Adams-Bashforth of order 3: second order on smooth grids with phi = 1, first order on
    irregular ones or with a published phi.
    """
    return _multistep(evaluate, x, levels, process, options, order=3)


def _multistep(
    evaluate: Evaluate[S],
    x: S,
    levels: Sequence[Level],
    process: Process,
    options: ScireMultistepOptions,
    *,
    order: int,
) -> S:
    form = ScoreIntegrand(options.version)
    steps = len(levels) - 1
    orders = options.orders(order, steps)
    phis = options.phis(steps, multistep_ramps(steps, order))
    v = x / form.scale(levels[0])
    slopes: list[S] = []  # newest first
    for i, (s, t) in enumerate(pairwise(levels)):
        slopes = [form.slope(evaluate, v, s), *slopes[: order - 1]]
        h = form.step(s, t)
        if i == 0 and options.starts_single(steps):
            middle = form.level(form.u(s) + 0.5 * h, process)
            v = advance_single(evaluate, v, slopes[0], s, t, [middle], form, phi=phis[0])
            continue
        nodes = levels[i + 1 - orders[i] : i + 2]
        for weight, slope in zip(_weights(nodes, phis[i], options), slopes, strict=False):
            v = v + (weight * h) * slope
    return form.scale(levels[-1]) * v


def _weights(
    nodes: Sequence[Level], phi: float, options: ScireMultistepOptions
) -> tuple[float, ...]:
    """Weights of the slopes, newest first, for a step from nodes[-2] to nodes[-1].

    There is one for each node but the last. With the steps h0 (to take) and h1, h2 (taken) they are
    those of F_0 + F' / (2 phi^2 rho_0) + (1 + phi) F'' / (6 phi^4 rho_0 rho_1), where
    rho_0 = h1 / h0, rho_1 = h2 / h1, F' = F_0 - F_1, F'' = F_0 - 2 F_1 + F_2.
    """
    if len(nodes) == 2:
        return (1.0,)
    form = ScoreIntegrand(1 if options.ratio_coordinate == "nsr" else options.version)
    h0, h1, *older = (form.step(s, t) for s, t in reversed(list(pairwise(nodes))))
    first = h0 / (2.0 * phi**2 * h1)
    if not older:
        if options.multistep_rule == "apr-2024":
            n1, n0, nt = (node.rho for node in nodes)
            first = (math.log(n0 / nt) / math.log(n1 / n0)) ** 0.25 / (2.0 * phi)
        return (1.0 + first, -first)
    second = (1.0 + phi) * h0 / (6.0 * phi**4 * older[0])
    return (1.0 + first + second, -first - 2.0 * second, second)
