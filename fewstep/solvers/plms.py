"""PLMS on guided predictions: the unsplit baseline of guided sampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fewstep.level import Level
from fewstep.process.base import Process
from fewstep.solvers.adams_bashforth import MAX_ORDER, constant_weights
from fewstep.solvers.base import Evaluate, S, register
from fewstep.solvers.capped_options import capped_options
from fewstep.solvers.noise_history import advance_with_history, predicted_noise, step_sizes
from fewstep.solvers.options import Options, option


@dataclass(frozen=True, slots=True, kw_only=True)
class PLMSOptions(Options):
    """What PLMS leaves open; each member has its own largest order."""

    order: tuple[int, ...] = option(
        MAX_ORDER, low=1, high=MAX_ORDER, per_step=True, help="predictions that each step combines"
    )
    last_step: str = option(
        "denoised",
        choices=("denoised",),
        help="the step to the clean level returns the guided prediction itself, not a mixture",
    )


def plms(
    evaluate: Evaluate[S],
    x: S,
    levels: Sequence[Level],
    process: Process,
    *,
    options: PLMSOptions,
) -> S:
    """Adams-Bashforth weights of equal steps, after one improved Euler step.

    Ref: Liu et al. 2022 (PNDM); start and end as in Wizadwongsa, Suwajanakorn 2023's baselines.
    The first step is taken to the second level and again with the mean of both predictions; only
    the first of them is kept. Order 1 keeps this start, so it is not DDIM.
    """
    v = x / levels[0].alpha
    if len(levels) == 1:  # a grid of one step, and that to the clean level
        return x
    h = step_sizes(levels)
    first = predicted_noise(evaluate, v, levels[0])
    second = predicted_noise(evaluate, v + h[0] * first, levels[1])
    v = v + (0.5 * h[0]) * (first + second)

    def step_weights(i: int) -> Sequence[float]:  # counted from the second step
        order = min(options.order[i + 1], i + 2)
        return [h[i + 1] * weight for weight in constant_weights(order)]

    v = advance_with_history(evaluate, v, levels[1:], step_weights, history=[first])
    return levels[-1].alpha * v


def _count_calls(steps: int, options: PLMSOptions) -> int:
    """Calls of a grid that ends clean: one each, and one more where the first step is noisy."""
    return steps + 1 if steps > 1 else 1


for _order in range(1, MAX_ORDER + 1):
    register(
        f"plms{_order}",
        order=min(_order, 2),
        memory=_order,
        options=capped_options(PLMSOptions, "order", _order),
        count_calls=_count_calls,
    )(plms)
