"""How stiff guidance is on a grid: which multistep orders stay stable on it.

One explicit step of the condition part multiplies a deviation along the sharpest direction by
1 - z, with z = scale * mu * sigma * alpha * |h|, h the step in rho and mu the largest eigenvalue of
minus the Hessian of the conditional function.
Ref: Wizadwongsa, Suwajanakorn 2023, and their follow-up of 2024 on momentum for the limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from fewstep.denoisers.base import StackedLevel
from fewstep.errors import InvalidInput
from fewstep.guidance.conditional import ConditionalFunction, differentiable_copy
from fewstep.guidance.guided import check_scale
from fewstep.level import Level

# Ends of the real stability intervals of Adams-Bashforth of orders 1 to 4.
STABILITY_LIMITS = (2.0, 1.0, 6.0 / 11.0, 0.3)


def largest_curvature(
    condition: ConditionalFunction, x: Tensor, at: StackedLevel, *, iterations: int = 30
) -> Tensor:
    """The largest eigenvalue of minus the Hessian at each state (B, ...), shape (B,).

    Power iteration on Hessian-vector products finds the eigenvalue of largest magnitude; where that
    is negative, a second iteration on the matrix shifted by it finds the largest one.
    """
    with torch.inference_mode(mode=False), torch.enable_grad():
        state, levels = differentiable_copy(x, at)
        total = condition.value(state, levels).sum()
        (slope,) = torch.autograd.grad(total, state, create_graph=True)
        if not slope.requires_grad:  # a potential that is linear in the state has no curvature
            return x.new_zeros(len(x))
        found = _power_iteration(state, slope, x.new_zeros(len(x)), iterations)
        shift = found.clamp(max=0.0).abs()
        return _power_iteration(state, slope, shift, iterations) if shift.any() else found


def stiffness_numbers(
    levels: Sequence[Level], curvatures: Sequence[float], *, scale: float
) -> list[float]:
    """z of each step of a grid.

    Args:
        levels: the K + 1 levels of the grid.
        curvatures: mu at the first K of them, or at a few: those then stand at equal distances of
            the step's number from the first to the last, linear between.
        scale: of guidance.

    Raises:
        InvalidInput: there is no curvature, or the scale is none.
    """
    if not curvatures:
        raise InvalidInput("curvatures: none; allowed: one and more", field="curvatures")
    check_scale(scale)
    steps = list(pairwise(levels))
    spread = _spread(list(curvatures), len(steps))
    return [
        scale * mu * s.sigma * s.alpha * (s.rho - t.rho)
        for mu, (s, t) in zip(spread, steps, strict=True)
    ]


def largest_stable_order(numbers: Sequence[float]) -> int:
    """The highest Adams-Bashforth order that no step exceeds the limit of; 0 where none is stable.

    Strang splitting takes half steps: halve the numbers for its condition part.
    """
    worst = max(numbers)
    return sum(worst < limit for limit in STABILITY_LIMITS)


def _power_iteration(state: Tensor, slope: Tensor, shift: Tensor, iterations: int) -> Tensor:
    """The eigenvalue of largest magnitude of shift - Hessian, less the shift, by row."""
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(state.shape, generator=generator, dtype=state.dtype).to(state.device)
    trailing = (-1,) + (1,) * (state.dim() - 1)
    eigenvalue = torch.zeros_like(shift)
    for _ in range(iterations):
        length = direction.flatten(1).norm(dim=1).clamp_min(torch.finfo(state.dtype).tiny)
        direction = direction / length.view(trailing)
        (product,) = torch.autograd.grad(
            (slope * direction).sum(), state, retain_graph=True, materialize_grads=True
        )
        image = shift.view(trailing) * direction - product
        eigenvalue = (direction * image).flatten(1).sum(dim=1)
        direction = image.detach()
    return (eigenvalue - shift).detach()


def _spread(values: list[float], count: int) -> list[float]:
    """`count` numbers linear between `values`, which stand at equal distances from end to end."""
    if len(values) == 1 or count == 1:
        return values[:1] * count
    positions = [step * (len(values) - 1) / (count - 1) for step in range(count)]
    lower = [min(int(position), len(values) - 2) for position in positions]
    return [
        values[i] + (position - i) * (values[i + 1] - values[i])
        for i, position in zip(lower, positions, strict=True)
    ]
