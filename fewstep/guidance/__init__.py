"""Guidance: what searches and documents know of it, its scale and its cost, without torch.

The conditional functions themselves are in this package's modules: `classifier`,
`classifier_free`, `inpainting`, `super_resolution`, `colourisation`, `text`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from fewstep.errors import InvalidInput
from fewstep.solvers import Kind

Guidance: TypeAlias = Literal["none", "classifier-free", "classifier"]


@dataclass(frozen=True, slots=True)
class Cost:
    """Network passes and gradients of a conditional function, of one sample."""

    passes: int
    gradients: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.passes + other.passes, self.gradients + other.gradients)

    def in_passes(self, gradient_cost: float) -> float:
        """All of it in network passes; `gradient_cost` is one gradient over one pass, measured."""
        return self.passes + gradient_cost * self.gradients


# What one call costs. The gradient of classifier-free guidance is the difference of two passes, at
# another state than the `base` call beside it.
_FREE = Cost(0, 0)
_COSTS: Mapping[Guidance, Mapping[Kind, Cost]] = {
    "none": {"denoised": Cost(1, 0), "base": Cost(1, 0), "impute": _FREE},
    "classifier-free": {
        "denoised": Cost(2, 0),
        "base": Cost(1, 0),
        "gradient": Cost(2, 0),
        "impute": _FREE,
    },
    "classifier": {
        "denoised": Cost(1, 1),
        "base": Cost(1, 0),
        "gradient": Cost(0, 1),
        "impute": _FREE,
    },
}


def cost_of(calls: Mapping[Kind, int], guidance: Guidance) -> Cost:
    """What a program's calls cost under a kind of guidance.

    Args:
        calls: evaluations by kind, as `Program.calls` counts them.
        guidance: where `denoised` and `gradient` come from.

    Raises:
        InvalidInput: a gradient is asked for where there is no guidance.
    """
    costs = _COSTS[guidance]
    for kind in calls:
        if kind not in costs:
            raise InvalidInput(
                f"guidance={guidance!r}: gives no {kind}; allowed: classifier, classifier-free",
                field="guidance",
            )
    return Cost(
        passes=sum(count * costs[kind].passes for kind, count in calls.items()),
        gradients=sum(count * costs[kind].gradients for kind, count in calls.items()),
    )
