"""The `noise-level` guide: the posterior of the noise level of a state, for denoising MCMC.

Ref: Kim & Ye 2023, section 3: Gibbs steps draw the noise level from a classifier's softmax.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

_FILTERS = 16
_WIDTH = 64
_HIDDEN = 128
_POOLED = 2  # sides before the linear layers
_POWER_FLOOR = 0.01  # keeps the scale of an all-zero state finite
# Of energies of scaled states. Below the square of the least noise (0.01 on images of power 0.6).
_ENERGY_FLOOR = 1e-5
_START_PRECISION = 3.0  # logarithm; the posterior's spread in log rho starts at exp(-1.5) = 0.22


class NoiseLevelClassifier(nn.Module):
    """Logits over classes of rho for states x0 + rho eps (process states divided by alpha).

    The state is divided by s = sqrt(mean x^2 + c), and log s appended. Rho spans four decades, so
    what filters see is taken as logarithms of energies, pixel by pixel and in 3x3 neighbourhoods:
    an amplitude ten times smaller is then a constant less, not a signal ten times weaker. Beside
    learned filters stand the distances to both ends of the data's range [-1, 1]: images are
    saturated in places, and there the noise is seen alone. The logits are those of a normal density
    in log rho, whose mean and precision depend on the state, plus a correction per class.

    Args:
        rho: The classes, descending.
        image_shape: Channels, height, width.
    """

    log_rho: Tensor

    def __init__(self, rho: Sequence[float], image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        channels = image_shape[0]
        self.filters = nn.Conv2d(channels, _FILTERS, 3, padding=1, bias=False)
        self.trunk = nn.Sequential(
            nn.Conv2d(2 * (_FILTERS + 2 * channels), _WIDTH, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.AdaptiveAvgPool2d(_POOLED),
            nn.Flatten(),
        )
        self.hidden = nn.Sequential(nn.Linear(_WIDTH * _POOLED**2 + 1, _HIDDEN), nn.SiLU())
        self.density = nn.Linear(_HIDDEN, 2)  # mean of log(rho / s), logarithm of the precision
        self.correction = nn.Linear(_HIDDEN, len(rho))
        # Not stored: the file's metadata hold the classes in double precision.
        log_rho = torch.tensor(rho, dtype=torch.float64).log()
        self.register_buffer("log_rho", log_rho.float(), persistent=False)

    def forward(self, x_hat: Tensor) -> Tensor:
        """Logits (B, len(rho)) of states x / alpha, in their number type."""
        x = x_hat.to(self.filters.weight.dtype)
        power = x.square().mean((1, 2, 3), keepdim=True) + _POWER_FLOOR
        log_scale = 0.5 * power.log().flatten(1)
        hidden = self.hidden(torch.cat([self._seen(x, power.rsqrt()), log_scale], dim=1))
        offset, log_precision = self.density(hidden).split(1, dim=1)
        distance = self.log_rho - log_scale - offset
        precision = (_START_PRECISION + log_precision).exp()
        logits: Tensor = self.correction(hidden) - 0.5 * precision * distance.square()
        return logits.to(x_hat.dtype)

    def _seen(self, x: Tensor, inverse_scale: Tensor) -> Tensor:
        planes = [self.filters(x), x + 1, x - 1]
        energy = (torch.cat(planes, dim=1) * inverse_scale).square()
        nearby = avg_pool2d(energy, 3, stride=1, padding=1)
        seen: Tensor = self.trunk((torch.cat([energy, nearby], dim=1) + _ENERGY_FLOOR).log())
        return seen
