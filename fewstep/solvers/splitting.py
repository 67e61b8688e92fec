"""Splitting solvers of guided sampling: Lie-Trotter (LTSP) and Strang (STSP).

Guidance is stiff, and high-order methods on it diverge where Euler does not. So the flow is split
in two: Adams-Bashforth for the diffusion part, Euler for the condition part.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from fewstep.level import Level
from fewstep.process.base import Process
from fewstep.solvers.base import Evaluate, S, register
from fewstep.solvers.split_parts import ConditionPart, DiffusionPart, Kick, imputed
from fewstep.solvers.splitting_options import (
    LTSP1Options,
    LTSP2Options,
    LTSP4Options,
    STSP1Options,
    STSP2Options,
    STSP4Options,
)


@register("ltsp1", order=1, options=LTSP1Options, handles_clean=True, is_split=True)
@register("ltsp2", order=1, memory=2, options=LTSP2Options, handles_clean=True, is_split=True)
@register("ltsp4", order=1, memory=4, options=LTSP4Options, handles_clean=True, is_split=True)
def ltsp(
    evaluate: Evaluate[S],
    x: S,
    levels: Sequence[Level],
    process: Process,
    *,
    options: LTSP1Options,
) -> S:
    """Lie-Trotter splitting. Ref: Wizadwongsa, Suwajanakorn 2023, algorithm 1.

    By default the condition part goes first, as in the released code; its second branch, and the
    paper's order, are options with clearly different errors. One prediction and one gradient a
    step. The step to the clean level keeps the multistep slope.
    """
    diffusion, condition = DiffusionPart(evaluate, options), ConditionPart(evaluate, options)
    cond_first = options.order_first == "cond"
    v = x / levels[0].alpha
    for step, (s, t) in enumerate(pairwise(levels)):
        if cond_first:
            v = condition.advance(v, step, Kick(s, s.alpha, s.sigma, s.rho, t.rho))
        v = v + (t.rho - s.rho) * diffusion.slope(v, step, s, t)
        if not cond_first:
            at = t if options.cond_time == "end" else s
            v = condition.advance(v, step, Kick(at, t.alpha, at.sigma, s.rho, t.rho))
        v = imputed(evaluate, v, t, options)
    return levels[-1].alpha * v


@register("stsp1", order=1, options=STSP1Options, handles_clean=True, is_split=True)
@register("stsp2", order=1, memory=2, options=STSP2Options, handles_clean=True, is_split=True)
@register("stsp4", order=1, memory=4, options=STSP4Options, handles_clean=True, is_split=True)
def stsp(
    evaluate: Evaluate[S],
    x: S,
    levels: Sequence[Level],
    process: Process,
    *,
    options: STSP1Options,
) -> S:
    """Strang splitting: half a condition step, a diffusion step, half a condition step.

    Ref: Wizadwongsa, Suwajanakorn 2023, Strang splitting with the factors of its released code.
    One prediction and two gradients a step. First order in spite of the symmetry: Euler half steps
    and the diffusion part's history, taken along the guided flow, leave errors of second order.

    No model time is below the last noisy level. So at the clean end the last half step asks for
    the gradient at that level, with the state at rho = 0, not scaled back to it, as the code does.
    """
    diffusion, condition = DiffusionPart(evaluate, options), ConditionPart(evaluate, options)
    grid = list(pairwise(levels))
    v = x / levels[0].alpha
    for step, (s, t) in enumerate(grid):
        if step == 0 or not options.fused:
            v = condition.advance(v, step, _first_half(s, t))
        v = v + (t.rho - s.rho) * diffusion.slope(v, step, s, t)
        half = _second_half(s, t, process, options)
        if options.fused and step + 1 < len(grid):
            v = condition.advance(v, step + 1, _merged(half, _first_half(*grid[step + 1])))
        else:
            v = condition.advance(v, step, half)
        v = imputed(evaluate, v, t, options)
    return levels[-1].alpha * v


def _first_half(s: Level, t: Level) -> Kick:
    return Kick(s, s.alpha, s.sigma, s.rho, 0.5 * (s.rho + t.rho))


def _second_half(s: Level, t: Level, process: Process, options: STSP1Options) -> Kick:
    middle = 0.5 * (s.rho + t.rho)
    # As rho * alpha: some processes have no level of their own below the last noisy one.
    sigma = t.sigma if options.half_sigma == "end" else middle * process.at_rho(middle).alpha
    return Kick(s if t.is_clean else t, t.alpha, sigma, middle, t.rho)


def _merged(last: Kick, first: Kick) -> Kick:
    """Two half steps that meet at a level, as one Euler step with one gradient."""
    before, after = last.stop - last.start, first.stop - first.start
    sigma = (before * last.sigma + after * first.sigma) / (before + after)
    return Kick(first.at, first.alpha, sigma, last.start, first.stop)
