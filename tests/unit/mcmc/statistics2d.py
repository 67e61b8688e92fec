"""How samples compare with the two-dimensional mixture: distances, weights, spread."""

from __future__ import annotations

import torch
from torch import Tensor

from fewstep.denoisers import StackedLevel
from tests.mixture2d import MIXTURE


def energy_distance(a: Tensor, b: Tensor) -> float:
    """2 E|a - b| - E|a - a'| - E|b - b'|, the expectations over different pairs."""
    between = torch.cdist(a, b).mean()
    return float(2.0 * between - _mean_distance(a) - _mean_distance(b))


def _mean_distance(a: Tensor) -> Tensor:
    return torch.cdist(a, a).sum() / (len(a) * (len(a) - 1))


def component_shares(x: Tensor) -> Tensor:
    """How much of the samples each component claims, (3,)."""
    return MIXTURE.responsibilities(x, _clean(x)).mean(dim=0)


def normalised_squared_distance(x: Tensor) -> float:
    """Mean of |x - mean|^2 / (d variance) from the component that claims it; 1 where right."""
    which = MIXTURE.responsibilities(x, _clean(x)).argmax(dim=1)
    means = torch.tensor(MIXTURE.means, dtype=torch.float64)[which]
    deviations = torch.tensor(MIXTURE.deviations, dtype=torch.float64)[which]
    return float(((x - means) / deviations[:, None]).square().mean())


def _clean(x: Tensor) -> StackedLevel:
    zeros = torch.zeros(len(x), dtype=torch.float64)
    return StackedLevel(t=zeros, alpha=zeros + 1.0, sigma=zeros, network_time=zeros)
