"""Euler-Maruyama with equal steps, one more of them than its levels have intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fewstep.level import Level
from fewstep.process.base import Process
from fewstep.solvers.base import Evaluate, S, register
from fewstep.solvers.options import Options, option


@dataclass(frozen=True, slots=True, kw_only=True)
class EulerMaruyamaUniformOptions(Options):
    """Where in the range the last level lies."""

    last_time: float = option(
        0.0,
        low=0.0,
        high=0.5,
        help="share of the range in log rho that lies below the last noisy level; score-SDE's "
        "samplers stop at 1e-5",
    )


@register(
    "euler-maruyama-uniform",
    order=1,
    options=EulerMaruyamaUniformOptions,
    handles_clean=True,
    is_stochastic=True,
)
def euler_maruyama_uniform(
    evaluate: Evaluate[S],
    x: S,
    levels: Sequence[Level],
    process: Process,
    *,
    options: EulerMaruyamaUniformOptions,
) -> S:
    """Euler-Maruyama as score-SDE's samplers step. Ref: Song et al. 2021 (score SDE), eq. 6.

    K evaluations at levels spread over the whole range, with K equal steps of 1 / K of that range
    in log rho; so the step is (K - 1) / K of the levels' distance, and the last one, from the least
    noisy level, is no longer than the others: its mean is the result, which is not the denoised
    prediction. `euler-maruyama` steps from level to level instead. Meant for levels evenly spread
    in log rho that end clean; a grid that ends noisy has K intervals, each as long as the others.
    One noise term per step, after its evaluation; none in the last one where the grid ends clean.
    """
    noisy = [level for level in levels if not level.is_clean]
    steps = len(levels) - 1
    length = (noisy[-1].lam - noisy[0].lam) / (1.0 - options.last_time)
    diffused = 2.0 * length / steps  # g^2 |du| in units of rho_s^2
    if len(noisy) == 1:
        return evaluate(x, noisy[0])  # a range of no length: all the way, as its limit has it
    v = x / noisy[0].alpha
    for i, s in enumerate(noisy[:steps]):
        v = v + diffused * (evaluate(s.alpha * v, s) - v)
        if i < len(noisy) - 1:
            v = v + (s.rho * math.sqrt(diffused)) * evaluate.noise()
    return levels[-1].alpha * v
