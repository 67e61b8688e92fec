"""Class guidance by a classifier that was trained on noisy states."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from fewstep.denoisers.base import StackedLevel
from fewstep.errors import InvalidInput
from fewstep.guidance.conditional import gradient_of
from fewstep.guidance.labels import check_below, check_labels

# classifier(x, network_time): states (B, ...) in process scale, (B,) -> logits (B, num_classes).
NoisyClassifier: TypeAlias = Callable[[Tensor, Tensor], Tensor]


class ClassifierGuidance:
    """log p(label | x_t) under a noisy classifier. Ref: Dhariwal, Nichol 2021, section 4.

    Args:
        classifier: reads states in process scale and the network's time.
        labels: the wanted class of each row, shape (B,).

    Raises:
        InvalidInput: the labels are no whole numbers, or negative. `value` and `gradient` raise it
            for labels that the classifier has no class of.
    """

    def __init__(self, classifier: NoisyClassifier, labels: Tensor) -> None:
        self._classifier = classifier
        self._labels = check_labels(labels)
        self._num_classes: int | None = None  # not known before the classifier's first answer

    def value(self, x: Tensor, at: StackedLevel) -> Tensor:
        """Log probability of each row's label, shape (B,)."""
        logits = self._classifier(x, at.network_time.to(x.dtype))
        if len(logits) != len(self._labels):
            raise InvalidInput(
                f"labels: {len(self._labels)} of them for {len(logits)} states; allowed: one each",
                field="labels",
            )
        if self._num_classes != logits.shape[1]:
            check_below(self._labels, logits.shape[1])
            self._num_classes = logits.shape[1]
        log_probabilities = torch.log_softmax(logits, dim=1)
        return log_probabilities.gather(1, self._labels[:, None])[:, 0]

    def gradient(self, x: Tensor, at: StackedLevel) -> Tensor:
        """Its gradient with respect to the states."""
        return gradient_of(self.value, x, at)

    def impute(self, x: Tensor, at: StackedLevel) -> Tensor:  # noqa: ARG002  nothing is known
        """The states as they are."""
        return x
