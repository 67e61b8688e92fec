"""The denoisers of a sampling plan: its networks under the plan's guidance, all metered."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from fewstep.commands.condition_file import grey_image, known_pixels, read_tensors, small_image
from fewstep.commands.metering import Meter, MeteredCondition, MeteredNetwork
from fewstep.commands.sampling_plan import SamplingPlan
from fewstep.commands.seeded_noise import Stream, image_noise
from fewstep.denoisers import Denoiser
from fewstep.guidance.classifier import ClassifierGuidance
from fewstep.guidance.colourisation import colourisation
from fewstep.guidance.conditional import ConditionalFunction
from fewstep.guidance.guided import guided
from fewstep.guidance.inpainting import inpainting
from fewstep.guidance.super_resolution import super_resolution
from fewstep.guidance.text import TextGuidance
from fewstep.networks.denoising import guided_model
from fewstep.networks.guided_model import GuidedModel
from fewstep.networks.guides import label_classifier, load_guide
from fewstep.networks.models import load_network
from fewstep.networks.pruning.loading import pruned_networks
from fewstep.networks.zoo.noisy_classifier import NoisyClassifier


@dataclass
class PlannedModel:
    """A plan's model, loaded once; `denoisers` makes it one for some of the images.

    Attributes:
        plan: What is sampled.
        seed: Of the noise that is put in with what is known.
        passes: Passes of the network so far, or of the pruned ones.
        gradients: Gradients of the condition so far.
    """

    plan: SamplingPlan
    seed: int
    passes: Meter = field(default_factory=Meter)
    gradients: Meter = field(default_factory=Meter)

    def denoisers(self, images: range) -> list[Denoiser]:
        """One for each network; one row per image, with the label and known part of its number."""
        return [self._denoiser(model, images) for model in self._models]

    def _denoiser(self, model: GuidedModel, images: range) -> Denoiser:
        classes = self.plan.labels or range(self.plan.card.num_classes or 1)
        wanted = torch.tensor([classes[i % len(classes)] for i in images])
        base = self._network_labels(wanted)
        if self.plan.guidance in ("none", "classifier-free"):
            return model.denoiser(base, is_split=self.plan.solver.is_split)
        denoiser = model.denoiser(base)
        through = denoiser if self.plan.through_denoiser else None
        condition = self._condition(images, wanted, through)
        metered = MeteredCondition(condition, self.passes, self.gradients)
        return guided(denoiser, metered, scale=self.plan.scale)

    @cached_property
    def _models(self) -> list[GuidedModel]:
        """The network without a condition; under an architecture one for each configuration."""
        plan, is_free = self.plan, self.plan.guidance == "classifier-free"
        networks = [load_network(plan.card)]
        if plan.architecture is not None:
            networks = pruned_networks(networks[0], plan.architecture, plan.weights)
        return [
            guided_model(
                plan.card,
                network=MeteredNetwork(network, self.passes),
                guidance="classifier-free" if is_free else "none",
                scale=plan.scale if is_free else 1.0,
                is_clipped=plan.is_clipped,
            )
            for network in networks
        ]

    def _network_labels(self, wanted: Tensor) -> Tensor:
        """What the network is given as labels where those are wanted.

        Under a condition, and for chains, none, where the model can do without and none were given:
        as published. The guide of a class conditions the unlabelled model in any case.
        """
        plan, null_label = self.plan, self.plan.card.null_label
        is_asked = bool(plan.labels) or (plan.guidance == "none" and plan.chains is None)
        aims_at_them = plan.guidance in ("classifier", "text")
        if null_label is None or plan.guidance == "classifier-free":
            return wanted
        return wanted if is_asked and not aims_at_them else torch.full_like(wanted, null_label)

    def _condition(
        self, images: range, wanted: Tensor, through: Denoiser | None
    ) -> ConditionalFunction:
        if self.plan.guidance == "classifier":
            return ClassifierGuidance(self._guide, wanted)
        if self.plan.guidance == "text":
            guide = self._guide
            return TextGuidance(guide.features, guide.prototypes, wanted, denoiser=through)
        return self._measured(images, through)

    def _measured(self, images: range, through: Denoiser | None) -> ConditionalFunction:
        shape, tensors = self.plan.card.image_shape, self._known
        noise = image_noise(self.seed, Stream.KNOWN, images, shape)[0]
        if self.plan.guidance == "inpainting":
            known, mask = known_pixels(tensors, shape)
            return inpainting(_rows(known, images), mask, denoiser=through, noise=noise)
        if self.plan.guidance == "super-resolution":
            known, factor = small_image(tensors, shape)
            return super_resolution(
                _rows(known, images), factor=factor, denoiser=through, noise=noise
            )
        grey = _rows(grey_image(tensors, shape), images)
        return colourisation(grey, channels=shape[0], denoiser=through, noise=noise)

    @cached_property
    def _guide(self) -> NoisyClassifier:
        if self.plan.guide is None:
            return label_classifier(self.plan.card)
        guide = load_guide(self.plan.card, self.plan.guide)
        assert isinstance(guide, NoisyClassifier)  # documents name none of another kind
        return guide

    @cached_property
    def _known(self) -> dict[str, Tensor]:
        path: Path | None = self.plan.condition
        assert path is not None  # the plan was checked
        return read_tensors(path)


def _rows(known: Tensor, images: range) -> Tensor:
    """The known part of each image: those of the file in turn."""
    return known[torch.tensor([i % len(known) for i in images])]
