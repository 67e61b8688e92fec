"""Guided problems on a real model: class guidance at several scales, and inpainting."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from evaluators.banks import Bank, NoiseBank
from fewstep.denoisers import Denoiser, StackedLevel, class_conditional
from fewstep.guidance.classifier import ClassifierGuidance
from fewstep.guidance.guided import guided
from fewstep.guidance.inpainting import inpainting
from fewstep.networks.card import ModelCard
from fewstep.networks.guides import load_guide
from fewstep.networks.models import load_network
from fewstep.networks.zoo.classifier import to_network_range
from fewstep.networks.zoo.digits_data import load_digits_images
from fewstep.process import Process
from fewstep.program import trace
from fewstep.running import run
from fewstep.solvers import Kind
from fewstep.spacing import grid

GRID = "linspace"  # the published one: equal steps of the training index, both ends included


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A model under one kind of guidance, unconditional otherwise, clipping off.

    Attributes:
        name: How tables call it.
        make: Denoiser for labels (B,) and a number type.
        wanted: The class each row of a batch should show, from the batch's labels.
    """

    name: str
    make: Callable[[Tensor, torch.dtype], Denoiser]
    wanted: Callable[[Tensor], Tensor]


@dataclass(slots=True)
class Timed:
    """A denoiser that adds up seconds and rows by kind."""

    denoiser: Denoiser
    seconds: dict[str, float] = field(default_factory=dict)

    def __call__(self, x: Tensor, at: StackedLevel, kind: Kind = "denoised") -> Tensor:
        """Predict as the denoiser does."""
        started = time.perf_counter()
        found = self.denoiser(x, at, kind)
        self.seconds[kind] = self.seconds.get(kind, 0.0) + time.perf_counter() - started
        return found


def problems(card: ModelCard, scales: tuple[float, ...], inpainting_scale: float) -> list[Problem]:
    """Class guidance at each scale, then inpainting of the left half of held-out digits."""
    network = load_network(card)
    guide = load_guide(card, "noisy-label")
    found = [
        Problem(
            name=f"class, scale {scale:g}",
            make=_by_class(card, network, guide, scale),
            wanted=lambda labels: labels,
        )
        for scale in scales
    ]
    found.append(
        Problem(
            name=f"inpainting, scale {inpainting_scale:g}",
            make=_by_pixels(card, network, inpainting_scale),
            wanted=_labels_of_known,
        )
    )
    return found


def starts(card: ModelCard, count: int) -> tuple[Tensor, Tensor]:
    """Start noise (count, C, H, W) float64 and balanced labels of the report bank."""
    bank = NoiseBank(card.image_shape, card.num_classes, Bank("report"))
    labels = bank.labels(0, count)
    assert labels is not None  # the guided models have classes
    return torch.from_numpy(bank.noise(0, count)).double(), torch.from_numpy(labels)


def sample(
    problem: Problem,
    solver: str,
    steps: int,
    x: Tensor,
    labels: Tensor,
    *,
    process: Process,
    options: dict[str, object] | None = None,
) -> tuple[Tensor, dict[str, int], dict[str, float]]:
    """Samples, evaluations by kind, and seconds by kind."""
    program = trace(
        grid(GRID, process, steps),
        process=process,
        solver=solver,
        options=options,
    )
    timed = Timed(problem.make(labels, x.dtype))
    with torch.no_grad():
        samples = run(program, timed, x)
    return samples, program.calls, timed.seconds


def _by_class(
    card: ModelCard, network: nn.Module, guide: nn.Module, scale: float
) -> Callable[[Tensor, torch.dtype], Denoiser]:
    def make(labels: Tensor, dtype: torch.dtype) -> Denoiser:
        base = _unconditional(card, network, labels, dtype)
        return guided(base, ClassifierGuidance(guide.to(dtype), labels), scale=scale)

    return make


def _by_pixels(
    card: ModelCard, network: nn.Module, scale: float
) -> Callable[[Tensor, torch.dtype], Denoiser]:
    images = to_network_range(torch.from_numpy(load_digits_images("heldout")[0]))
    mask = torch.zeros(1, *card.image_shape)
    mask[..., : card.image_shape[-1] // 2] = 1.0

    def make(labels: Tensor, dtype: torch.dtype) -> Denoiser:
        known = images[torch.arange(len(labels)) % len(images)].to(dtype)
        base = _unconditional(card, network, labels, dtype)
        return guided(base, inpainting(known, mask.to(dtype)), scale=scale)

    return make


def _labels_of_known(labels: Tensor) -> Tensor:
    known = torch.from_numpy(load_digits_images("heldout")[1])
    return known[torch.arange(len(labels)) % len(known)]


def _unconditional(
    card: ModelCard, network: nn.Module, labels: Tensor, dtype: torch.dtype
) -> Denoiser:
    assert card.null_label is not None
    return class_conditional(network.to(dtype), labels=torch.full_like(labels, card.null_label))
