"""UniPC: multistep predictor and corrector on the denoised prediction, at no extra calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from fewstep.level import Level
from fewstep.process.base import Process
from fewstep.solvers.base import Evaluate, S, register
from fewstep.solvers.capped_options import capped_options
from fewstep.solvers.dpm_solver_pp import LOWER_ORDER_FINAL_HELP, step_orders
from fewstep.solvers.exponential import exponential_weights, phi
from fewstep.solvers.options import Options, option


@dataclass(frozen=True, slots=True, kw_only=True)
class UniPCOptions(Options):
    """Order of each step, its corrector, and B(h).

    A step's order is also limited by the predictions there are: the first step has order 1. The
    step to the clean level, which `trace` takes, has order 1 and no corrector, nor has the step
    before it: the evaluation that follows is the sample itself.
    """

    order: tuple[int, ...] = option(
        3,
        low=1,
        high=3,
        per_step=True,
        genes=(1, 2, 3),
        help="predictions that the predictor combines; the corrector takes one more",
    )
    corrector: tuple[bool, ...] = option(
        True,
        per_step=True,
        genes=(True, False),
        help="whether the next evaluation corrects the step's result; the last step has none",
    )
    variant: str = option(
        "bh2",
        choices=("bh1", "bh2"),
        genes=("bh1", "bh2"),
        help="function B(h) that weighs steps which combine two predictions; longer ones solve for "
        "their weights, which do not depend on it",
    )
    lower_order_final: bool = option(False, help=LOWER_ORDER_FINAL_HELP)


@register("unipc-2", order=3, memory=2, options=capped_options(UniPCOptions, "order", 2))
@register("unipc-3", order=4, memory=3, options=UniPCOptions)
def unipc(
    evaluate: Evaluate[S],
    x: S,
    levels: Sequence[Level],
    process: Process,
    *,
    options: UniPCOptions,
) -> S:
    """Repeat each step with the evaluation at its end added, and go on from there.

    Ref: Zhao et al. 2023 (UniPC), section 3 and its multistep algorithms, data prediction.

    That evaluation is the next step's own, taken at the predicted state and kept as it is. It makes
    the order one higher than the predictor's. The first step of a grid has two predictions at
    most, whose error is of order 3; it counts little where the prediction hardly changes, which is
    so at high noise, and UniPC-3 shows its order 4 from there.
    """
    orders = step_orders(options.order, lower_final=options.lower_order_final)
    history: list[tuple[Level, S]] = []  # newest first
    used: list[tuple[Level, S]] = []  # by the last step, which began at `x_begin`
    x_begin = x
    for i, (s, t) in enumerate(pairwise(levels)):
        newest = (s, evaluate(x, s))
        if used and options.corrector[i - 1]:
            x = _step(x_begin, levels[i - 1], s, [*used, newest], options.variant)
        history = [newest, *history][: max(orders)]
        used = history[: orders[i]]
        x_begin, x = x, _step(x, s, t, used, options.variant)
    return x


def _step(x: S, s: Level, t: Level, predictions: Sequence[tuple[Level, S]], variant: str) -> S:
    """From `s` to `t` with the polynomial through denoised predictions; the first is that at `s`.

    The paper's weights, which solve a system R(h) a B(h) = phi(h), are integrals of that
    polynomial.
    """
    h = t.lam - s.lam
    nodes = [(level.lam - s.lam) / h for level, _ in predictions]
    x = (t.sigma / s.sigma) * x
    for weight, (_, denoised) in zip(_weights(nodes, h, variant), predictions, strict=True):
        x = x + (t.alpha * h * weight) * denoised
    return x


def _weights(nodes: Sequence[float], h: float, variant: str) -> tuple[float, ...]:
    """Weights in units of the step; two nodes take the paper's a_1 = 1/2 instead of solving."""
    if len(nodes) != 2:
        return exponential_weights(nodes, -h)
    whole = phi(1, -h)
    slope = 0.5 * (1.0 if variant == "bh1" else whole) / nodes[1]
    return (whole - slope, slope)
