"""Networks, full or cut, as the guided models of a task, and the labels they are given."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from evaluators.banks import NoiseBank
from evaluators.score import Task
from fewstep.denoisers.class_conditional import ConditionalNetwork
from fewstep.guidance.classifier import NoisyClassifier
from fewstep.networks.guided_model import GuidedModel

_CLIP = 1.0  # images are in [-1, 1]


def conditional(network: nn.Module, task: Task) -> ConditionalNetwork:
    """The task's network, or what is left of it, as one that is given labels."""
    return network if task.num_classes is not None else _without_labels(network)


def guided_model(
    task: Task,
    network: ConditionalNetwork,
    *,
    null_label: int | None,
    classifier: NoisyClassifier | None,
) -> GuidedModel:
    """A network with the guidance and clipping of a task."""
    return GuidedModel(
        network=network,
        guidance=task.guidance,
        scale=task.guidance_scale,
        null_label=null_label,
        clip=_CLIP if task.clip_denoised else None,
        classifier=classifier,
    )


def labels_of(bank: NoiseBank, start: int, stop: int) -> npt.NDArray[np.generic]:
    """The labels; zeros for a model without classes."""
    labels = bank.labels(start, stop)
    return np.zeros(stop - start, dtype=np.int64) if labels is None else labels


def _without_labels(network: Callable[[Tensor, Tensor], Tensor]) -> ConditionalNetwork:
    """An unconditional network as one that is given labels and ignores them."""
    return lambda x, time, _labels: network(x, time)
