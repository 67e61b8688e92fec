"""Gaussian mixtures: data whose every noisy marginal, score and denoiser is known exactly.

They are the ground truth of the tests, and a quick model to try a solver on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fewstep.denoisers.base import StackedLevel
from fewstep.errors import InvalidInput
from fewstep.solvers import Kind


@dataclass(frozen=True, slots=True)
class GaussianMixture:
    """A mixture of K round Gaussians in D dimensions, and its exact denoiser.

    Called as a `Denoiser` on states of shape (B, D), it returns E[x0 | x].

    Args:
        weights: K positive numbers that add up to 1.
        means: K points of D coordinates.
        deviations: K standard deviations; 0 is a point.

    Raises:
        InvalidInput: the lengths differ, or the weights do not add up to 1.
    """

    weights: tuple[float, ...]
    means: tuple[tuple[float, ...], ...]
    deviations: tuple[float, ...]

    def __post_init__(self) -> None:
        lengths = {len(self.weights), len(self.means), len(self.deviations)}
        if len(lengths) != 1 or len({len(mean) for mean in self.means}) != 1:
            raise InvalidInput(
                "means: one point of equal dimension and one deviation for each weight",
                field="means",
            )
        if min(self.weights) <= 0.0 or abs(sum(self.weights) - 1.0) > 1e-9:
            raise InvalidInput(
                f"weights={self.weights}: must be positive and add up to 1", field="weights"
            )

    def __call__(self, x: Tensor, at: StackedLevel, kind: Kind = "denoised") -> Tensor:  # noqa: ARG002
        """E[x0 | x] for states (B, D)."""
        alpha = self._column(at.alpha, x)
        shrink = alpha * self._tensor(self.deviations, x) ** 2 / self._variances(x, at)  # (B, K)
        means = self._tensor(self.means, x)  # (K, D)
        offsets = x[:, None] - alpha[:, :, None] * means
        posterior_means = means + shrink[:, :, None] * offsets
        return (self.responsibilities(x, at)[:, :, None] * posterior_means).sum(dim=1)

    def responsibilities(self, x: Tensor, at: StackedLevel) -> Tensor:
        """p(component | x) of shape (B, K)."""
        return torch.softmax(self.component_log_densities(x, at), dim=1)

    def log_density(self, x: Tensor, at: StackedLevel) -> Tensor:
        """Log density of the noisy marginal at states (B, D), shape (B,)."""
        return torch.logsumexp(self.component_log_densities(x, at), dim=1)

    def score(self, x: Tensor, at: StackedLevel) -> Tensor:
        """Gradient of `log_density` with respect to the states (B, D)."""
        alpha, sigma = at.coefficients(x)
        return (alpha * self(x, at) - x) / sigma**2

    def component_log_densities(self, x: Tensor, at: StackedLevel) -> Tensor:
        """Log of weight times density of each component, shape (B, K)."""
        alpha, variances = self._column(at.alpha, x), self._variances(x, at)
        offsets = x[:, None] - alpha[:, :, None] * self._tensor(self.means, x)
        distances = offsets.square().sum(dim=2)
        normaliser = 0.5 * x.shape[1] * torch.log(2.0 * torch.pi * variances)
        weights = torch.log(self._tensor(self.weights, x))
        return weights - distances / (2.0 * variances) - normaliser

    def sample(self, count: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Clean data of shape (count, D)."""
        which = rng.choice(len(self.weights), size=count, p=self.weights)
        noise = rng.standard_normal((count, len(self.means[0])))
        deviations = np.asarray(self.deviations)[which, None]
        drawn: npt.NDArray[np.float64] = np.asarray(self.means)[which] + deviations * noise
        return drawn

    def _variances(self, x: Tensor, at: StackedLevel) -> Tensor:
        """Variance of each noisy component, shape (B, K)."""
        alpha, sigma = self._column(at.alpha, x), self._column(at.sigma, x)
        return alpha**2 * self._tensor(self.deviations, x) ** 2 + sigma**2

    @staticmethod
    def _column(values: Tensor, x: Tensor) -> Tensor:
        return values.to(x.dtype)[:, None]

    @staticmethod
    def _tensor(values: Sequence[object], x: Tensor) -> Tensor:
        return torch.tensor(values, dtype=x.dtype, device=x.device)
