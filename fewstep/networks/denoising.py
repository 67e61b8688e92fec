"""A bundled or local model as the denoiser that a schedule document was measured with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fewstep.denoisers import Denoiser, class_conditional
from fewstep.errors import InvalidInput
from fewstep.networks.card import ModelCard
from fewstep.networks.models import load_network
from fewstep.schedule import Schedule

_CLIP = 1.0  # images are in [-1, 1]


def model_denoiser(
    card: ModelCard,
    *,
    labels: Tensor,
    guidance_scale: float = 1.0,
    clip: bool | None = None,
    network: nn.Module | None = None,
) -> Denoiser:
    """The denoiser of a model for fixed labels of shape (B,).

    Args:
        card: the model.
        labels: one class per image; ignored by models without classes.
        guidance_scale: of classifier-free guidance; 1 is none.
        clip: whether denoised predictions are limited to [-1, 1]; the card's choice by default.
        network: the model's network, if it is loaded already.
    """
    network = load_network(card) if network is None else network
    is_clipped = card.clip_denoised if clip is None else clip
    return class_conditional(
        network if card.num_classes is not None else _Unconditional(network),
        labels=labels,
        guidance_scale=guidance_scale,
        null_label=card.null_label,
        clip=_CLIP if is_clipped else None,
    )


def schedule_denoiser(
    schedule: Schedule, card: ModelCard, *, labels: Tensor, network: nn.Module | None = None
) -> Denoiser:
    """The denoiser that a schedule names: its model, its guidance, its clipping.

    Raises:
        InvalidInput: the schedule was searched for other weights or another process.
    """
    check_model(schedule, card)
    return model_denoiser(
        card,
        labels=labels,
        guidance_scale=schedule.model.guidance_scale,
        clip=schedule.model.clip_denoised,
        network=network,
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
