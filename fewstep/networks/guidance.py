"""Which guidance a model can give: known from its card, without loading anything."""

from __future__ import annotations

from fewstep.errors import InvalidInput
from fewstep.guidance import Guidance
from fewstep.networks.card import ModelCard
from fewstep.schedule import GuideSection
from fewstep.schedule_chains import LevelGuideSection


def check_guidance(card: ModelCard, guidance: Guidance, scale: float) -> None:
    """Refuse guidance that the model cannot give.

    Raises:
        InvalidInput: names what is missing: the null label, or the guide and its measured cost.
    """
    if guidance == "classifier-free" and card.null_label is None:
        raise InvalidInput(
            f"guidance_scale={scale}: {card.name} has no null label; allowed: 1",
            field="guidance_scale",
        )
    if guidance == "classifier":
        label_guide(card)


def kinds_of_guidance(card: ModelCard) -> list[Guidance]:
    """The kinds that the model can be sampled under."""
    is_guided = any("gradient_cost" in guide for guide in card.guides.values())
    kinds: list[Guidance] = ["none"]
    kinds += ["classifier-free"] if card.null_label is not None else []
    return kinds + (["classifier"] if is_guided else [])


def label_guide(card: ModelCard) -> GuideSection:
    """The card's noisy-label guide.

    Raises:
        InvalidInput: it lists none, or none whose gradient's cost was measured.
    """
    kinds = {name for name, guide in card.guides.items() if guide["kind"] == "noisy-label"}
    for name in sorted(kinds):
        guide = card.guides[name]
        if "gradient_cost" in guide:
            cost = guide["gradient_cost"]
            return GuideSection(name=name, sha256=guide["sha256"], gradient_cost=cost)
    missing = "measured gradient_cost of its noisy-label guide" if kinds else "noisy-label guide"
    raise InvalidInput(
        f"guidance='classifier': {card.name} has no {missing}; allowed: none"
        + ("" if card.null_label is None else ", classifier-free"),
        field="guidance",
    )


def level_guide(card: ModelCard) -> LevelGuideSection:
    """The card's noise-level guide, which chains need.

    Raises:
        InvalidInput: it lists none.
    """
    for name, guide in card.guides.items():  # in its order, in which guides are loaded
        if guide["kind"] == "noise-level":
            return LevelGuideSection(name=name, sha256=guide["sha256"])
    raise InvalidInput(
        f"dlg: {card.name} has no noise-level guide, by which chains choose their levels; allowed: "
        "null",
        field="dlg",
    )
