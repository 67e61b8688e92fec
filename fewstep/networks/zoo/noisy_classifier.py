"""The `noisy-label` guide: which class a noisy state shows, and an encoder of noisy states."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, silu

from fewstep.networks.adm.embedding import timestep_embedding

DEFAULT_LAYERS = ((32, 1), (64, 2), (64, 1))
_TIME_WIDTH = 64
_FEATURE_WIDTH = 64
_CHUNK = 5000  # states encoded at a time where prototypes are taken


class NoisyClassifier(nn.Module):
    """Convolutions, each scaled and shifted by the time, then two linear layers.

    Called with states x = alpha x0 + sigma eps of shape (B, C, H, W) and network times (B,). Smooth
    activations throughout, so that the gradient is smooth in the state. Strides of two early on
    keep the cost of a gradient at a fraction of a call of the diffusion network.

    Args:
        num_classes: Number of classes.
        image_shape: Channels, height, width.
        layers: (channels, stride) of each convolution.
        dropout: Before the linear layers, in training.

    Attributes:
        prototypes: One unit vector per class, (num_classes, 64): the direction of the mean feature
            of clean training images of that class.
    """

    prototypes: Tensor

    def __init__(
        self,
        num_classes: int,
        image_shape: tuple[int, int, int],
        *,
        layers: Sequence[tuple[int, int]] = DEFAULT_LAYERS,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        channels, height, width = image_shape
        self.layers = tuple(layers)
        self.time = nn.Sequential(
            nn.Linear(_TIME_WIDTH, _TIME_WIDTH),
            nn.SiLU(),
            nn.Linear(_TIME_WIDTH, 2 * sum(width for width, _ in layers)),
        )
        self.convolutions = nn.ModuleList()
        for out_channels, stride in layers:
            self.convolutions.append(nn.Conv2d(channels, out_channels, 3, stride=stride, padding=1))
            channels, height, width = out_channels, -(-height // stride), -(-width // stride)
        self.dropout = nn.Dropout(dropout)
        self.encode = nn.Linear(channels * height * width, _FEATURE_WIDTH)
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
        parts = zip(x.split(_CHUNK), network_time.split(_CHUNK), strict=True)
        directions = normalize(torch.cat([self.features(*part) for part in parts]), dim=1)
        means = [directions[labels == label].mean(0) for label in range(len(self.prototypes))]
        self.prototypes.copy_(normalize(torch.stack(means), dim=1))

    def _encoded(self, x: Tensor, network_time: Tensor) -> Tensor:
        dtype = self.encode.weight.dtype
        hidden = x.to(dtype)
        embedding = timestep_embedding(network_time, _TIME_WIDTH).to(dtype)
        widths = [2 * width for width, _ in self.layers]
        scales = self.time(embedding)[:, :, None, None].split(widths, 1)
        for convolution, scale_and_shift in zip(self.convolutions, scales, strict=True):
            scale, shift = scale_and_shift.chunk(2, dim=1)
            hidden = silu(convolution(hidden) * (1 + scale) + shift)
        encoded: Tensor = self.encode(self.dropout(hidden.flatten(1)))
        return encoded
