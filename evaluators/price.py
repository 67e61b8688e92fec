"""What candidates cost in network passes, under a task's guidance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from fewstep.guidance import Cost, Guidance
from fewstep.price import chain_cost, image_cost
from fewstep.solvers.options import OptionValue
from space.candidate import Candidate

MICRO_BATCH = 256
"""Images in every forward pass, unless said otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The price list of one kind of guidance.

    Attributes:
        guidance: What a denoiser call consists of.
        gradient_cost: One gradient of the guide in network passes; 0 where there is none.
        micro_batch: Images that the chains of one start give together.
    """

    guidance: Guidance = "none"
    gradient_cost: float = 0.0
    micro_batch: int = MICRO_BATCH

    def cost(self, candidate: Candidate) -> Cost:
        """Network passes and gradients of one image, its own chain steps included."""
        cost = _cost(candidate.solver, candidate.steps, candidate.options, self.guidance)
        plan = candidate.chain_plan
        return cost if plan is None else cost + chain_cost(plan.num_skip, self.guidance)

    def per_image(self, candidate: Candidate) -> float:
        """Cost of one image in network passes, with its share of its chain's start and burn-in."""
        cost = self.cost(candidate).in_passes(self.gradient_cost)
        plan = candidate.chain_plan
        if plan is None:
            return cost
        each = chain_cost(1, self.guidance).in_passes(self.gradient_cost)
        return cost + each * plan.calls_beside(self.micro_batch)


def calls_for(num_images: int, per_image: float) -> int:
    """Calls that images are charged: whole ones, rounded up."""
    return math.ceil(num_images * per_image)


@lru_cache(maxsize=4096)
def _cost(
    solver: str, steps: int, options: tuple[tuple[str, OptionValue], ...], guidance: Guidance
) -> Cost:
    """Kept: a search asks the same for every batch, and split solvers are traced for it."""
    return image_cost(solver, steps, guidance=guidance, options=dict(options))
