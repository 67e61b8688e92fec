"""A class-conditional noise network with classifier-free guidance as a denoiser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from fewstep.denoisers.base import Denoiser, StackedLevel
from fewstep.denoisers.predictions import require_denoised
from fewstep.errors import InvalidInput
from fewstep.solvers import Kind

# f(x, network_time, labels): (B, C, H, W), (B,), (B,) -> predicted noise (B, C, H, W).
ConditionalNetwork: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]


def class_conditional(
    network: ConditionalNetwork,
    *,
    labels: Tensor,
    guidance_scale: float = 1.0,
    null_label: int | None = None,
    clip: float | None = None,
) -> Denoiser:
    """A denoiser for fixed labels of shape (B,), one per row of the states.

    Noise is predicted as eps_null + guidance_scale * (eps_label - eps_null); a scale of 1 is the
    plain conditional model at one pass, any other costs two, in one forward of twice the batch.
    Ref: Ho, Salimans 2022, eq. 6 (with guidance_scale = 1 + w).

    Raises:
        InvalidInput: guidance is asked of a model without a null label.
    """
    if guidance_scale != 1.0 and null_label is None:
        raise InvalidInput(
            f"guidance_scale={guidance_scale}: the model has no null label; allowed: 1",
            field="guidance_scale",
        )
    return _ClassConditional(network, labels, guidance_scale, null_label, clip)


@dataclass(frozen=True, slots=True)
class _ClassConditional:
    network: ConditionalNetwork
    labels: Tensor
    guidance_scale: float
    null_label: int | None
    clip: float | None

    def __call__(self, x: Tensor, at: StackedLevel, kind: Kind = "denoised") -> Tensor:
        require_denoised(kind)
        time = at.network_time.to(x.dtype)
        is_guided = kind == "denoised" and self.guidance_scale != 1.0
        eps = self._guided(x, time) if is_guided else self.network(x, time, self.labels)
        alpha, sigma = at.coefficients(x)
        denoised = (x - sigma * eps) / alpha
        return denoised if self.clip is None else denoised.clamp(-self.clip, self.clip)

    def _guided(self, x: Tensor, time: Tensor) -> Tensor:
        assert self.null_label is not None  # checked by class_conditional
        null_labels = torch.full_like(self.labels, self.null_label)
        both = self.network(
            torch.cat([x, x]), torch.cat([time, time]), torch.cat([self.labels, null_labels])
        )
        conditional, null = both.chunk(2)
        return null + self.guidance_scale * (conditional - null)
