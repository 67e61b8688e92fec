"""What a request means for the published second stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fewstep.networks.pruning.blocks import adm_blocks
from fewstep.request import SearchRequest
from search.paper_layers import LayerPlan
from search.plan import Plan
from space.layer_skips import LayerSkipSpace, SkipRamp

if TYPE_CHECKING:
    from fewstep.networks.card import ModelCard


def layer_plan(request: SearchRequest, plan: Plan, card: ModelCard) -> LayerPlan:
    """As many layers as the request's steps run in full; those left out make room for more steps.

    Raises:
        InvalidInput: the budget is less than the published algorithm takes, or a body of the
            network may not go.
    """
    assert request.pruning is not None, "the caller has checked it"
    config = card.unet_config()
    blocks = adm_blocks(config)
    process = plan.space.process
    return LayerPlan(
        solver=plan.space.solver,
        options=plan.space.options,
        space=LayerSkipSpace(process, blocks, max_layers=request.steps * len(blocks)),
        config=config,
        image_size=card.image_shape[1:],
        price=plan.price,
        budget=plan.search_budget,
        seed=plan.seed,
        fraction=request.paper_fraction,
        ramp=SkipRamp(max_fraction=request.pruning.max_saving),
        num_finalists=plan.num_finalists,
    )
