"""A network as the denoiser that answers what programs ask for, under each kind of guidance."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fewstep.denoisers import Denoiser, class_conditional
from fewstep.denoisers.class_conditional import ConditionalNetwork
from fewstep.errors import InvalidInput
from fewstep.guidance import Guidance
from fewstep.guidance.classifier import ClassifierGuidance, NoisyClassifier
from fewstep.guidance.classifier_free import classifier_free
from fewstep.guidance.guided import guided


@dataclass(frozen=True, slots=True, kw_only=True)
class GuidedModel:
    """A loaded network with its guidance; `denoiser` makes it one for the labels of a batch.

    Attributes:
        network: Predicts noise for states, network times and labels.
        guidance: Its kind.
        scale: Its scale; 1 where there is none.
        null_label: The label that means none; None where the model has none.
        clip: Limit of denoised predictions; None is no limit.
        classifier: The noisy-label guide, under classifier guidance.
    """

    network: ConditionalNetwork
    guidance: Guidance = "none"
    scale: float = 1.0
    null_label: int | None = None
    clip: float | None = None
    classifier: NoisyClassifier | None = None

    def denoiser(self, labels: Tensor, *, is_split: bool = False) -> Denoiser:
        """The denoiser for labels of shape (B,).

        Classifier guidance starts from the prediction under the null label, where there is one: the
        unconditional model, which the guide then conditions. Ref: Dhariwal, Nichol 2021, alg. 2.

        Args:
            labels: one class for each row of the states.
            is_split: whether gradients are asked for apart from predictions.

        Raises:
            InvalidInput: the guidance lacks its null label or its guide.
        """
        if self.guidance == "classifier":
            return self._by_classifier(labels)
        if is_split and self.guidance == "classifier-free" and self.null_label is not None:
            return classifier_free(
                self.network,
                labels=labels,
                guidance_scale=self.scale,
                null_label=self.null_label,
                clip=self.clip,
            )
        return class_conditional(
            self.network,
            labels=labels,
            guidance_scale=self.scale,
            null_label=self.null_label,
            clip=self.clip,
        )

    def _by_classifier(self, labels: Tensor) -> Denoiser:
        if self.classifier is None:
            raise InvalidInput(
                "guidance='classifier': no guide is loaded; allowed: none, classifier-free",
                field="guidance",
            )
        base_labels = labels if self.null_label is None else labels.new_full((), self.null_label)
        base = class_conditional(self.network, labels=base_labels.expand_as(labels), clip=self.clip)
        return guided(base, ClassifierGuidance(self.classifier, labels), scale=self.scale)
