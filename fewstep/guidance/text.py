"""Text guidance, with the prototypes of classes in place of embedded sentences."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from fewstep.denoisers.base import Denoiser, StackedLevel
from fewstep.errors import InvalidInput
from fewstep.guidance.conditional import gradient_of, outside_inference_mode
from fewstep.guidance.labels import check_below, check_labels

# encoder(x, network_time): states (B, ...) in process scale, (B,) -> features (B, d).
NoisyEncoder: TypeAlias = Callable[[Tensor, Tensor], Tensor]


class TextGuidance:
    """Minus the spherical distance between the embeddings of a state and of its prompt.

    Without a denoiser the encoder sees the noisy state, with one its denoised prediction at time
    0, and the gradient runs through the network.

    Ref: the form of public CLIP-guided sampling, 2 arcsin(|u - v| / 2)^2 on unit vectors; Nichol et
    al. 2022 (GLIDE), section 2.4, for encoders of noisy states.

    Args:
        encoder: reads states in process scale and the network's time.
        prototypes: the embedding of each prompt, shape (num_prompts, d), of any length but 0.
        labels: the wanted prompt of each row, shape (B,).
        denoiser: embed its prediction without guidance instead of the state.

    Raises:
        InvalidInput: a label has no prototype, or a prototype has no direction.
    """

    def __init__(
        self,
        encoder: NoisyEncoder,
        prototypes: Tensor,
        labels: Tensor,
        *,
        denoiser: Denoiser | None = None,
    ) -> None:
        if prototypes.dim() != 2 or not bool((prototypes.norm(dim=1) > 0.0).all()):
            raise InvalidInput(
                f"prototypes: shape {tuple(prototypes.shape)}; allowed: (num_prompts, d), finite, "
                "none of length 0",
                field="prototypes",
            )
        labels = check_labels(labels)
        check_below(labels, len(prototypes))
        chosen = prototypes[labels]
        self._encoder = encoder
        self._wanted = outside_inference_mode(chosen / chosen.norm(dim=1, keepdim=True))
        self._denoiser = denoiser

    def value(self, x: Tensor, at: StackedLevel) -> Tensor:
        """Minus the spherical distance of each row to its prompt, shape (B,)."""
        time = at.network_time.to(x.dtype)
        if self._denoiser is not None:
            x, time = self._denoiser(x, at, "base"), torch.zeros_like(time)
        found = torch.nn.functional.normalize(self._encoder(x, time), dim=1)
        return -spherical_distance(found, self._wanted.to(found))

    def gradient(self, x: Tensor, at: StackedLevel) -> Tensor:
        """Its gradient with respect to the states."""
        return gradient_of(self.value, x, at)

    def impute(self, x: Tensor, at: StackedLevel) -> Tensor:  # noqa: ARG002  nothing is known
        """The states as they are."""
        return x


def spherical_distance(u: Tensor, v: Tensor) -> Tensor:
    """Half the squared angle between unit vectors (B, d): 2 arcsin(|u - v| / 2)^2.

    By the arctangent of |u - v| / |u + v|: the arcsine's slope is infinite at opposite vectors.
    """
    half_angle = torch.atan2((u - v).norm(dim=1), (u + v).norm(dim=1))
    return 2.0 * half_angle.square()
