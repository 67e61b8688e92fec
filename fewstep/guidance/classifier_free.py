"""Classifier-free guidance with its parts apart, for solvers that split."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fewstep.denoisers.base import Denoiser, StackedLevel
from fewstep.denoisers.class_conditional import ConditionalNetwork, class_conditional
from fewstep.guidance.guided import check_scale
from fewstep.solvers import Kind


def classifier_free(
    network: ConditionalNetwork,
    *,
    labels: Tensor,
    guidance_scale: float,
    null_label: int,
    clip: float | None = None,
) -> Denoiser:
    """A denoiser for fixed labels that answers every kind.

    `denoised` is that of `class_conditional`. `base` is the prediction under the null label, and
    `gradient` = guidance_scale * -(eps_label - eps_null) / sigma: for an exact model that of
    guidance_scale * log p(label | x), so a weight w is a classifier's scale w. One call of
    `denoised` costs two passes, `base` one, `gradient` two. Nothing is known, so `impute` returns
    the state.

    Ref: Ho, Salimans 2022, eq. 6; the split as in Wizadwongsa, Suwajanakorn 2024.

    Raises:
        InvalidInput: the scale is negative or no finite number.
    """
    check_scale(guidance_scale)
    guided = class_conditional(
        network, labels=labels, guidance_scale=guidance_scale, null_label=null_label, clip=clip
    )
    null_labels = torch.full_like(labels, null_label)
    base = class_conditional(network, labels=null_labels, clip=clip)
    return _ClassifierFree(network, guided, base, labels, null_labels, guidance_scale)


@dataclass(frozen=True, slots=True)
class _ClassifierFree:
    network: ConditionalNetwork
    guided: Denoiser
    base: Denoiser
    labels: Tensor
    null_labels: Tensor
    scale: float

    def __call__(self, x: Tensor, at: StackedLevel, kind: Kind = "denoised") -> Tensor:
        if kind == "impute":
            return x
        if kind == "gradient":
            return self._gradient(x, at)
        return self.base(x, at) if kind == "base" else self.guided(x, at)

    def _gradient(self, x: Tensor, at: StackedLevel) -> Tensor:
        time = at.network_time.to(x.dtype)
        labels = torch.cat([self.labels, self.null_labels])
        both = self.network(torch.cat([x, x]), torch.cat([time, time]), labels)
        conditional, null = both.chunk(2)
        _, sigma = at.coefficients(x)
        return (self.scale / sigma) * (null - conditional)
