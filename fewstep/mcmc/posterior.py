"""Which noise level a state has: exact posteriors, networks, and estimates without training.

States come in the coordinates of the chain: x / alpha, or x itself for native ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from fewstep.denoisers import GaussianMixture, StackedLevel
from fewstep.errors import InvalidInput
from fewstep.level import Level
from fewstep.process.base import Process

# network(x_hat) -> logits (B, M), for states x_hat = x / alpha.
LevelNetwork: TypeAlias = Callable[[Tensor], Tensor]


class NoiseLevelPosterior(Protocol):
    """p(class | state) over M noise levels, which run from most to least noise."""

    @property
    def rhos(self) -> tuple[float, ...]:
        """Noise-to-signal ratio of each class, strictly decreasing."""
        ...

    @property
    def is_native(self) -> bool:
        """Whether states are in process scale, rather than divided by alpha."""
        ...

    def log_probabilities(self, x: Tensor, denoised: Tensor) -> Tensor:
        """Log of p(class | x), float64, shape (B, M).

        Args:
            x: states (B, ...) in the chain's coordinates.
            denoised: the prediction that moved the states there, which is known anyway; estimates
                use it, true posteriors do not.
        """
        ...


@runtime_checkable
class LevelDensity(Protocol):
    """What Metropolis adjustment needs of a posterior, too."""

    def log_density(self, x: Tensor, classes: Tensor) -> Tensor:
        """Log p(x | class) for states (B, ...) and classes (B,), float64, shape (B,)."""
        ...


@dataclass(frozen=True)
class MixturePosterior:
    """The exact posterior of a Gaussian mixture, under a uniform prior over the classes.

    Args:
        mixture: the clean data's distribution.
        rhos: noise-to-signal ratio of each class, strictly decreasing.
        process: the process whose native states x = alpha x0 + sigma eps are meant; without one the
            states are x / alpha = x0 + rho eps, whose density is alpha^d times that of x.

    Raises:
        InvalidInput: the ratios are not positive and strictly decreasing.
    """

    mixture: GaussianMixture
    rhos: tuple[float, ...]
    process: Process | None = None

    def __post_init__(self) -> None:
        check_rhos(self.rhos)

    @property
    def is_native(self) -> bool:
        """Whether states are in process scale."""
        return self.process is not None

    def log_probabilities(self, x: Tensor, denoised: Tensor) -> Tensor:  # noqa: ARG002
        """Log of p(class | x), float64, shape (B, M)."""
        count = len(self.rhos)
        rows = x.double().repeat_interleave(count, dim=0)
        classes = torch.arange(count, device=x.device).repeat(x.shape[0])
        densities = self.log_density(rows, classes).view(x.shape[0], count)
        return torch.log_softmax(densities, dim=1)

    def log_density(self, x: Tensor, classes: Tensor) -> Tensor:
        """Log p(x | class), its normaliser included."""
        levels = [self._level(rho) for rho in self.rhos]
        values = [(level.t, level.alpha, level.sigma) for level in levels]
        t, alpha, sigma = torch.tensor(values, dtype=torch.float64, device=x.device)[classes].T
        at = StackedLevel(t=t, alpha=alpha, sigma=sigma, network_time=t)  # the time is not read
        return self.mixture.log_density(x.double(), at)

    def _level(self, rho: float) -> Level:
        return Level(rho, 1.0, rho) if self.process is None else self.process.at_rho(rho)


@dataclass(frozen=True)
class ClassifierPosterior:
    """A network that was trained to tell how much noise a state x / alpha has.

    Args:
        network: called with states x / alpha, gives logits of shape (B, M).
        rhos: noise-to-signal ratio of each class, the grid it was trained on.

    Raises:
        InvalidInput: the ratios are not positive and strictly decreasing, or, when it is first
            used, the network has another number of classes.
    """

    network: LevelNetwork
    rhos: tuple[float, ...]
    is_native: bool = False

    def __post_init__(self) -> None:
        check_rhos(self.rhos)
        if self.is_native:
            raise InvalidInput(
                "posterior: a classifier reads rescaled states; allowed: is_native=False",
                field="posterior",
            )

    def log_probabilities(self, x: Tensor, denoised: Tensor) -> Tensor:  # noqa: ARG002
        """Log of p(class | x), float64, shape (B, M)."""
        logits = self.network(x)
        if logits.shape != (x.shape[0], len(self.rhos)):
            raise InvalidInput(
                f"posterior: the network gives {tuple(logits.shape)}; allowed: "
                f"({x.shape[0]}, {len(self.rhos)}), one logit per class",
                field="posterior",
            )
        return torch.log_softmax(logits.double(), dim=1)


@dataclass(frozen=True)
class ResidualPosterior:
    """All weight on the class nearest to ||x - denoised|| / sqrt(d_eff), for states x / alpha.

    Free, since the prediction that moved the state is known; but that was made before the move and
    for the level before it, and it is too low where the data's own variance matters. An estimate is
    not a Gibbs step.

    Args:
        rhos: noise-to-signal ratio of each class, strictly decreasing.
        effective_dimension: number of directions in which the data varies less than the noise; at
            most the number of values of a state.
    """

    rhos: tuple[float, ...]
    effective_dimension: float
    is_native: bool = False

    def __post_init__(self) -> None:
        check_rhos(self.rhos)
        if not self.effective_dimension > 0.0:
            raise InvalidInput(
                f"effective_dimension={self.effective_dimension!r}: allowed: above 0",
                field="effective_dimension",
            )

    def log_probabilities(self, x: Tensor, denoised: Tensor) -> Tensor:
        """Zero at the nearest class, minus infinity elsewhere, float64, shape (B, M)."""
        return _all_on_nearest(
            residual_estimate(x, denoised, effective_dimension=self.effective_dimension), self.rhos
        )


@dataclass(frozen=True)
class MedianDeviationPosterior:
    """All weight on the class nearest to `median_absolute_deviation`, for images x / alpha."""

    rhos: tuple[float, ...]
    is_native: bool = False

    def __post_init__(self) -> None:
        check_rhos(self.rhos)

    def log_probabilities(self, x: Tensor, denoised: Tensor) -> Tensor:  # noqa: ARG002
        """Zero at the nearest class, minus infinity elsewhere, float64, shape (B, M)."""
        return _all_on_nearest(median_absolute_deviation(x), self.rhos)


def residual_estimate(x: Tensor, denoised: Tensor, *, effective_dimension: float) -> Tensor:
    """Noise level of states x / alpha by what the denoiser takes away, float64, shape (B,)."""
    residual = (x - denoised).double().flatten(1)
    return residual.square().sum(dim=1).sqrt() / math.sqrt(effective_dimension)


def median_absolute_deviation(x: Tensor) -> Tensor:
    """Noise level of images (B, C, H, W) by their finest diagonal detail, float64, shape (B,).

    The median of |diagonal Haar coefficients| / 0.6745: images have little detail there, and a
    median ignores where they do. Ref: Donoho, Johnstone 1994.

    Raises:
        InvalidInput: the states are no images, or smaller than 2 x 2.
    """
    if x.dim() != 4 or min(x.shape[2:]) < 2:
        raise InvalidInput(
            f"x: shape {tuple(x.shape)}; allowed: images (B, C, H, W) of 2 x 2 and more", field="x"
        )
    height, width = x.shape[2] // 2 * 2, x.shape[3] // 2 * 2
    blocks = x.double()[:, :, :height, :width]
    top, bottom = blocks[:, :, ::2], blocks[:, :, 1::2]
    detail = 0.5 * (top[..., ::2] - top[..., 1::2] - bottom[..., ::2] + bottom[..., 1::2])
    # quantile, as torch's median takes the lower of two middle values
    middle: Tensor = torch.quantile(detail.abs().flatten(1), 0.5, dim=1)
    return middle / 0.6745


def check_rhos(rhos: Sequence[float]) -> None:
    """Refuse what are no classes from most to least noise.

    Raises:
        InvalidInput: fewer than two, not positive and finite, or not strictly decreasing.
    """
    is_positive = all(math.isfinite(rho) and rho > 0.0 for rho in rhos)
    if len(rhos) < 2 or not is_positive or any(b >= a for a, b in pairwise(rhos)):
        raise InvalidInput(
            f"rhos: {len(rhos)} classes; allowed: 2 and more, positive and strictly decreasing",
            field="rhos",
        )


def _all_on_nearest(estimates: Tensor, rhos: Sequence[float]) -> Tensor:
    """Nearest in the ratio's logarithm."""
    log_rhos = torch.tensor(rhos, dtype=torch.float64, device=estimates.device).log()
    nearest = (estimates.log()[:, None] - log_rhos).abs().argmin(dim=1)
    result = torch.full((len(estimates), len(rhos)), -math.inf, device=estimates.device)
    return result.double().scatter(1, nearest[:, None], 0.0)
