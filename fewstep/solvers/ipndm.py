"""iPNDM: PNDM's multistep formula with a cheap start, a strong baseline at few calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from fewstep.level import Level
from fewstep.process.base import Process
from fewstep.solvers.adams_bashforth import (
    MAX_ORDER,
    check_distinct,
    constant_weights,
    lagrange_weights,
)
from fewstep.solvers.base import Evaluate, S, register
from fewstep.solvers.capped_options import capped_options
from fewstep.solvers.noise_history import advance_with_history
from fewstep.solvers.options import Options, option


@dataclass(frozen=True, slots=True, kw_only=True)
class IPNDMOptions(Options):
    """What iPNDM leaves open; each member has its own largest order."""

    order: tuple[int, ...] = option(
        MAX_ORDER, low=1, high=MAX_ORDER, per_step=True, help="predictions that each step combines"
    )
    weights: str = option(
        "constant",
        choices=("constant", "variable", "published-variable"),
        genes=("constant", "variable"),
        help="`constant`: those of equal steps; `variable`: those of the grid, which is "
        "deis-rhoab; `published-variable`: the widely copied ipndm_v with its three errors",
    )


def ipndm(
    evaluate: Evaluate[S],
    x: S,
    levels: Sequence[Level],
    process: Process,
    *,
    options: IPNDMOptions,
) -> S:
    """Adams-Bashforth in rho that starts with orders 1, 2, 3. Ref: Zhang, Chen 2023 (DEIS), iPNDM.

    On any grid but one uniform in rho the constant weights are off by O(1 / steps), so every order
    from 2 on converges with order 2.
    """

    def step_weights(i: int) -> Sequence[float]:
        order = min(options.order[i], i + 1)
        nodes = [level.rho for level in levels[i + 1 - order : i + 1][::-1]]
        return _WEIGHTS[options.weights](nodes, levels[i + 1].rho)

    v = advance_with_history(evaluate, x / levels[0].alpha, levels, step_weights)
    return levels[-1].alpha * v


def _constant(nodes: Sequence[float], stop: float) -> tuple[float, ...]:
    h = stop - nodes[0]
    return tuple(h * weight for weight in constant_weights(len(nodes)))


def _variable(nodes: Sequence[float], stop: float) -> tuple[float, ...]:
    return lagrange_weights(nodes, nodes[0], stop)


def _published_variable(nodes: Sequence[float], stop: float) -> tuple[float, ...]:
    """Weights of the public ipndm_v code (diff-sampler, ComfyUI), for agreement with these tools.

    The method is Newton's form: h * (f + b1/2 d1 + g2 b2 d2 + g3 b3 d3), d the scaled divided
    differences, b the ratios of step products. The code departs from it in three places:

    1. At order 3 and 4, 1 - q b2 stands for (1 - q) b2, a missing pair of parentheses. Harmless
       for equal steps, where b2 = 1.
    2. At order 4, g3 is g2 + c instead of g2 - c, so that equal steps give (57, -65, 43, -11) / 24
       instead of (55, -59, 37, -9) / 24.
    3. At order 4, the oldest prediction is scaled with h1/h2 in place of h2/h3, so the weights do
       not even add up to h unless step ratios are constant.
    """
    check_distinct(nodes)
    h = stop - nodes[0]
    back = [newer - older for newer, older in pairwise(nodes)]
    rows: list[tuple[float, ...]] = [(1.0,)]
    if back:
        rows.append((0.5 * h / back[0], -0.5 * h / back[0]))
    if len(back) >= 2:
        q, b2 = h / (3.0 * (h + back[0])), _product_ratio(h, back, 2)
        rows.append(_scaled(0.5 * (1.0 - q * b2), _second_difference(*back[:2])))
    if len(back) == 3:
        c = (1.0 - h / (2.0 * (h + back[0]))) * h / (6.0 * (h + back[0] + back[1]))
        factor = (0.5 * (1.0 - q) + c) * _product_ratio(h, back, 3)
        rows.append(_scaled(factor, _published_third_difference(*back)))
    return tuple(h * sum(row[j] for row in rows if j < len(row)) for j in range(len(nodes)))


def _product_ratio(h: float, back: Sequence[float], count: int) -> float:
    """Product of the `count` shortest spans from the step's end over that from its start."""
    ratio, ahead, behind = 1.0, h, 0.0
    for step in back[:count]:
        behind += step
        ratio *= ahead / behind
        ahead += step
    return ratio


def _second_difference(h1: float, h2: float) -> tuple[float, ...]:
    """Second divided difference over the newest three predictions, the newest counting 1."""
    return (1.0, -1.0 - h1 / h2, h1 / h2)


def _published_third_difference(h1: float, h2: float, h3: float) -> tuple[float, ...]:
    """Third divided difference, but for its last entry: error 3 of `_published_variable`."""
    p = h1 * (h1 + h2) / (h2 * (h2 + h3))
    return (1.0, -1.0 - h1 / h2 - p, h1 / h2 + p * (1.0 + h2 / h3), -p * h1 / h2)


def _scaled(factor: float, row: Sequence[float]) -> tuple[float, ...]:
    return tuple(factor * value for value in row)


_WEIGHTS = {
    "constant": _constant,
    "variable": _variable,
    "published-variable": _published_variable,
}


for _order in range(2, MAX_ORDER + 1):
    register(
        f"ipndm{_order}",
        order=2,
        memory=_order,
        options=capped_options(IPNDMOptions, "order", _order),
    )(ipndm)
