"""What can be known of pruned networks from a model's card: what may be cut, and how much."""

from __future__ import annotations

import math
from dataclasses import replace

from fewstep.errors import InvalidInput
from fewstep.networks.card import ModelCard
from fewstep.networks.pruning.blocks import adm_blocks
from fewstep.request_pruning import PruningRequest
from space.architecture_cost import GenomeCosts
from space.architecture_ladders import removable_names
from space.architecture_limits import BoundedSpace
from space.architectures import ArchitectureSpace


def check_limits(pruning: PruningRequest, card: ModelCard, *, steps: int) -> None:
    """Refuse a model of which nothing may be cut, and a budget that nothing can meet.

    What seconds a network takes is not known before it is measured.

    Raises:
        InvalidInput: names `pruning` or `pruning.cost`, and says the least share there is.
    """
    config = card.unet_config()
    blocks = adm_blocks(config)
    if not blocks:
        raise _nothing_to_cut(card)
    space = ArchitectureSpace(
        blocks=blocks,
        steps=steps,
        mode=pruning.mode,
        removable=removable_names(blocks) if pruning.remove else (),
    )
    network = replace(config, out_channels=config.in_channels)  # rows of a variance are dropped
    # Every step can be cut as far as any other, so the least share is that of one pass.
    costs = GenomeCosts.of_adm(space, network, card.image_shape[1:], passes=(1,) * steps)
    most = pruning.cost if pruning.cost is not None and pruning.objective == "macs" else 1.0
    try:
        BoundedSpace(space=space, costs=costs, most=most)
    except InvalidInput as error:
        if error.field == "space":
            raise _nothing_to_cut(card) from None
        if error.field != "most":
            raise
        raise InvalidInput(
            f"pruning.cost={pruning.cost:g}: below what {card.name} can be cut to"
            f"{'' if pruning.remove else ' without removing bodies'}; allowed: "
            f"{_least(costs, space):.4f} and more",
            field="pruning.cost",
        ) from None


def _least(costs: GenomeCosts, space: ArchitectureSpace) -> float:
    """The least share of the full network's multiply-adds, rounded up to what is shown of it."""
    smallest = costs.fixed + sum(min(places) for places in costs.of_place)
    return math.ceil(1e4 * smallest / costs.network(space.full_widths)) / 1e4


def _nothing_to_cut(card: ModelCard) -> InvalidInput:
    return InvalidInput(
        f"pruning: nothing of the network of {card.name} can be cut; allowed: null",
        field="pruning",
    )
