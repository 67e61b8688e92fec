"""The unsplit competitor of splitting: one method for each part, both at the same state."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from fewstep.level import Level
from fewstep.process.base import Process
from fewstep.solvers.base import Evaluate, S, register
from fewstep.solvers.split_parts import ConditionPart, DiffusionPart, Kick, imputed
from fewstep.solvers.splitting_options import Add2Options, Add4Options, SplitOptions


@register("add1", order=1, options=SplitOptions, handles_clean=True, is_split=True)
@register("add2", order=1, memory=2, options=Add2Options, handles_clean=True, is_split=True)
@register("add4", order=1, memory=4, options=Add4Options, handles_clean=True, is_split=True)
def additive(
    evaluate: Evaluate[S],
    x: S,
    levels: Sequence[Level],
    process: Process,
    *,
    options: SplitOptions,
) -> S:
    """Adams-Bashforth with another order for guidance than for the model's noise.

    Ref: the unsplit methods of Wizadwongsa, Suwajanakorn 2023, with an order for each part. At
    the cost of DDIM; accurate on smooth guidance, unstable sooner than splitting on stiff
    guidance. With `order_cond` equal to `order` it is Adams-Bashforth on the guided noise.
    """
    diffusion, condition = DiffusionPart(evaluate, options), ConditionPart(evaluate, options)
    v = x / levels[0].alpha
    for step, (s, t) in enumerate(pairwise(levels)):
        slope = diffusion.slope(v, step, s, t)
        guided = condition.advance(v, step, Kick(s, s.alpha, s.sigma, s.rho, t.rho))
        v = guided + (t.rho - s.rho) * slope
        v = imputed(evaluate, v, t, options)
    return levels[-1].alpha * v
