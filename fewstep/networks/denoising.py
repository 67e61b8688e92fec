"""A bundled or local model as the denoiser that a schedule document was measured with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fewstep.denoisers import Denoiser
from fewstep.errors import ChecksFailed, InvalidInput
from fewstep.guidance import Guidance
from fewstep.networks.card import ModelCard
from fewstep.networks.guidance import label_guide
from fewstep.networks.guided_model import GuidedModel
from fewstep.networks.models import load_network
from fewstep.schedule import Schedule
from fewstep.solvers import SOLVERS

CLIP = 1.0  # images are in [-1, 1]


def model_denoiser(
    card: ModelCard,
    *,
    labels: Tensor,
    guidance: Guidance | None = None,
    guidance_scale: float = 1.0,
    clip: bool | None = None,
    network: nn.Module | None = None,
    is_split: bool = False,
) -> Denoiser:
    """The denoiser of a model for fixed labels of shape (B,).

    Args:
        card: the model.
        labels: one class per image; ignored by models without classes.
        guidance: its kind; None is classifier-free guidance, or none at scale 1.
        guidance_scale: of the guidance.
        clip: whether denoised predictions are limited to [-1, 1]; the card's choice by default.
        network: the model's network, if it is loaded already.
        is_split: whether a solver asks for gradients apart from predictions.

    Raises:
        InvalidInput: guidance that the model cannot give.
    """
    if guidance is None:
        guidance = "none" if guidance_scale == 1.0 else "classifier-free"
    return guided_model(
        card,
        network=load_network(card) if network is None else network,
        guidance=guidance,
        scale=guidance_scale,
        is_clipped=card.clip_denoised if clip is None else clip,
    ).denoiser(labels, is_split=is_split)


def guided_model(
    card: ModelCard,
    *,
    network: nn.Module,
    guidance: Guidance,
    scale: float,
    is_clipped: bool,
    device: str = "cpu",
) -> GuidedModel:
    """A loaded network with its guidance; under classifier guidance the card's guide is loaded."""
    classifier = None
    if guidance == "classifier":
        from fewstep.networks.guides import load_guide

        classifier = load_guide(card, label_guide(card).name, device=device)
    return GuidedModel(
        network=given_labels(network, card.num_classes),
        guidance=guidance,
        scale=scale,
        null_label=card.null_label,
        clip=CLIP if is_clipped else None,
        classifier=classifier,
    )


def schedule_denoiser(
    schedule: Schedule, card: ModelCard, *, labels: Tensor, network: nn.Module | None = None
) -> Denoiser:
    """The denoiser that a schedule names: its model, its guidance, its clipping.

    Raises:
        InvalidInput: the schedule was searched for other weights or another process, or it is a
            pruned one.
    """
    check_model(schedule, card)
    if schedule.architecture is not None:
        raise InvalidInput(
            "architecture: the schedule runs pruned networks, not the model's own; allowed: "
            "schedules without an architecture, or fewstep.load_pruned for one with it",
            field="architecture",
        )
    return model_denoiser(
        card,
        labels=labels,
        guidance=schedule.model.guidance,
        guidance_scale=schedule.model.guidance_scale,
        clip=schedule.model.clip_denoised,
        network=network,
        is_split=SOLVERS.get(schedule.solver.name).is_split,
    )


def check_model(schedule: Schedule, card: ModelCard) -> None:
    """Refuse a schedule that was searched for another model: its times mean something else there.

    Raises:
        InvalidInput: names what differs, both values.
    """
    pairs = {
        "model.prediction": (schedule.model.prediction, card.prediction),
        "model.image_shape": (schedule.model.image_shape, card.image_shape),
        "model.process": (schedule.process.describe(), card.make_process().describe()),
        "model.checkpoint_sha256": (schedule.model.checkpoint_sha256, card.weights_sha256),
    }
    for field, (stored, actual) in pairs.items():
        if stored != actual:
            raise InvalidInput(
                f"{field}={stored!r}: the schedule was searched for another model than "
                f"{card.name}, which has {actual!r}",
                field=field,
            )
    if schedule.model.guide is not None and schedule.model.guide.sha256 != label_guide(card).sha256:
        raise ChecksFailed(
            f"model.guide.sha256={schedule.model.guide.sha256!r}: the guide of {card.name} is "
            f"{label_guide(card).sha256!r}",
            field="model.guide.sha256",
        )


def given_labels(network: nn.Module, num_classes: int | None) -> nn.Module:
    """A network that is called with labels, whether it has classes or not."""
    return network if num_classes is not None else _Unconditional(network)


class _Unconditional(nn.Module):
    """A network without labels behind the call of one that has them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._network = network

    def forward(self, x: Tensor, time: Tensor, labels: Tensor) -> Tensor:  # noqa: ARG002
        prediction: Tensor = self._network(x, time)
        return prediction


def balanced_labels(card: ModelCard, count: int) -> Tensor:
    """Labels 0, 1, ..., repeated: every class equally often, as everywhere in the project."""
    return torch.arange(count) % (card.num_classes or 1)
