"""Draw images with a schedule and the model it names. Brings torch; imported by `sample` alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from fewstep.commands.png import encode_grid
from fewstep.denoisers import Denoiser, class_conditional
from fewstep.errors import ChecksFailed
from fewstep.networks.card import ModelCard
from fewstep.networks.models import load_network, resolve
from fewstep.schedule import Schedule

BATCH = 64


def draw_grid(schedule: Schedule, *, num: int, seed: int, roots: Sequence[Path] = ()) -> bytes:
    """Sample `num` images, labels in turn, as one PNG.

    Raises:
        UnknownName: no such model here.
        ChecksFailed: the model's weights are not those the schedule was searched for.
    """
    card = resolve(schedule.model.name, roots=roots)
    if card.weights_sha256 != schedule.model.checkpoint_sha256:
        raise ChecksFailed(
            f"model.checkpoint_sha256={schedule.model.checkpoint_sha256!r}: the weights of"
            f" {card.name} here are {card.weights_sha256!r}",
            field="model.checkpoint_sha256",
        )
    images = sample_images(schedule, card, num=num, seed=seed)
    return encode_grid(images.numpy())


@torch.no_grad()
def sample_images(schedule: Schedule, card: ModelCard, *, num: int, seed: int) -> Tensor:
    """Images (num, C, H, W) as bytes; the same seed and number give the same images."""
    network = load_network(card)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn((num, *card.image_shape), generator=generator)
    labels = torch.arange(num) % (card.num_classes or 1)
    parts = [
        schedule.sample(denoiser_of(schedule, card, network, some_labels), some_noise)
        for some_noise, some_labels in zip(noise.split(BATCH), labels.split(BATCH), strict=True)
    ]
    # [-1, 1] to 0..255, rounded to nearest.
    return ((torch.cat(parts) + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)


def denoiser_of(
    schedule: Schedule, card: ModelCard, network: nn.Module, labels: Tensor
) -> Denoiser:
    """The denoiser with the clipping and the guidance that the schedule was searched with."""

    def predict(x: Tensor, network_time: Tensor, given: Tensor) -> Tensor:
        inputs = (x, network_time) if card.num_classes is None else (x, network_time, given)
        output: Tensor = network(*inputs)
        return output

    return class_conditional(
        predict,
        labels=labels,
        guidance_scale=schedule.model.guidance_scale,
        null_label=card.null_label,
        clip=1.0 if schedule.model.clip_denoised else None,
    )
