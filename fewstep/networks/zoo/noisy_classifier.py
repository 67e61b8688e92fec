"""The `noisy-label` guide: which digit a noisy state shows, and an encoder of noisy states."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, silu

from fewstep.networks.adm.embedding import timestep_embedding

_WIDTHS = (32, 64, 64)
_TIME_WIDTH = 64
_FEATURE_WIDTH = 64


class NoisyClassifier(nn.Module):
    """Three convolutions and two linear layers, each convolution scaled and shifted by the time.

    Called with states x = alpha x0 + sigma eps of shape (B, C, H, W) and network times (B,). Smooth
    activations throughout, so that the gradient is smooth in the state. The second convolution
    halves the sides: a gradient costs a fraction of a call of the diffusion network.

    Attributes:
        prototypes: One unit vector per class, (num_classes, 64): the direction of the mean feature
            of clean training images of that class.
    """

    prototypes: Tensor

    def __init__(
        self, num_classes: int, image_shape: tuple[int, int, int], *, dropout: float = 0.1
    ) -> None:
        super().__init__()
        channels, height, width = image_shape
        first, second, third = _WIDTHS
        self.time = nn.Sequential(
            nn.Linear(_TIME_WIDTH, _TIME_WIDTH),
            nn.SiLU(),
            nn.Linear(_TIME_WIDTH, 2 * sum(_WIDTHS)),
        )
        self.convolutions = nn.ModuleList(
            [
                nn.Conv2d(channels, first, 3, padding=1),
                nn.Conv2d(first, second, 3, stride=2, padding=1),
                nn.Conv2d(second, third, 3, padding=1),
            ]
        )
        positions = ((height + 1) // 2) * ((width + 1) // 2)
        self.dropout = nn.Dropout(dropout)
        self.encode = nn.Linear(third * positions, _FEATURE_WIDTH)
        self.head = nn.Linear(_FEATURE_WIDTH, num_classes)
        self.register_buffer("prototypes", torch.zeros(num_classes, _FEATURE_WIDTH))

    def forward(self, x: Tensor, network_time: Tensor) -> Tensor:
        """Class logits (B, num_classes) in the number type of `x`."""
        logits: Tensor = self.head(silu(self._encoded(x, network_time)))
        return logits.to(x.dtype)

    def features(self, x: Tensor, network_time: Tensor) -> Tensor:
        """What the state shows, as (B, 64) in the number type of `x`, comparable across times."""
        return silu(self._encoded(x, network_time)).to(x.dtype)

    @torch.no_grad()
    def set_prototypes(self, x: Tensor, network_time: Tensor, labels: Tensor) -> None:
        """Take the prototypes from labelled states; every class must occur."""
        directions = normalize(self.features(x, network_time), dim=1)
        means = [directions[labels == label].mean(0) for label in range(len(self.prototypes))]
        self.prototypes.copy_(normalize(torch.stack(means), dim=1))

    def _encoded(self, x: Tensor, network_time: Tensor) -> Tensor:
        dtype = self.encode.weight.dtype
        hidden = x.to(dtype)
        embedding = timestep_embedding(network_time, _TIME_WIDTH).to(dtype)
        scales = self.time(embedding)[:, :, None, None].split([2 * width for width in _WIDTHS], 1)
        for convolution, scale_and_shift in zip(self.convolutions, scales, strict=True):
            scale, shift = scale_and_shift.chunk(2, dim=1)
            hidden = silu(convolution(hidden) * (1 + scale) + shift)
        encoded: Tensor = self.encode(self.dropout(hidden.flatten(1)))
        return encoded
