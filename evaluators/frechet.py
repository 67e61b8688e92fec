"""The Frechet distance between images and a reference, exact and quick also for few images.

With a sample covariance from N images in d dimensions, only min(N, d) eigenvalues of the product of
both covariances differ from zero. They are those of a symmetric matrix of that size, so neither a
general matrix square root nor an imaginary part appears. Everything is float64, on one thread: more
would change the last bits with the machine's number of cores.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from evaluators.linear_algebra import one_blas_thread
from fewstep.errors import InvalidInput

Array: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)  # no slots: the root is computed once and kept
class Gaussian:
    """Mean (d,) and covariance (d, d; divisor N - 1, as numpy.cov and torch-fidelity)."""

    mean: Array
    covariance: Array

    @cached_property
    def root(self) -> Array:
        """The symmetric square root of the covariance."""
        with one_blas_thread():
            values, vectors = np.linalg.eigh(self.covariance)
            root: Array = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
        return root


def fit_gaussian(features: npt.NDArray[np.floating]) -> Gaussian:
    """Mean and covariance of features (N, d), N of at least 2."""
    mean, centred = _centred(features)
    with one_blas_thread():
        return Gaussian(mean, centred.T @ centred / (len(centred) - 1))


def frechet_distance(features: npt.NDArray[np.floating], reference: Gaussian) -> float:
    """Squared Frechet distance between the Gaussians of features (N, d) and of the reference.

    Ref: Heusel et al. 2017; |m - m_r|^2 + Tr S + Tr S_r - 2 Tr (S S_r)^(1/2).
    """
    mean, centred = _centred(features)
    if mean.shape != reference.mean.shape:
        raise InvalidInput(
            f"features have {len(mean)} dimensions, the reference {len(reference.mean)}: must agree"
        )
    divisor = len(centred) - 1
    shift = mean - reference.mean
    trace = np.sum(centred * centred) / divisor + np.trace(reference.covariance)
    with one_blas_thread():
        overlap = _overlap(centred, reference) / np.sqrt(divisor)
    return float(shift @ shift + trace - 2.0 * overlap)


def _overlap(centred: Array, reference: Gaussian) -> float:
    """Tr (X'X S_r)^(1/2) for centred features X (N, d).

    The nonzero eigenvalues of X'X S_r are those of X S_r X' (N x N) and of R X'X R (d x d) with
    R = S_r^(1/2). The smaller is taken: it is quicker, and the larger would add |N - d| eigenvalues
    that are zero up to rounding, whose roots are not small.
    """
    if len(centred) <= centred.shape[1]:
        product = centred @ reference.covariance @ centred.T
    else:
        product = reference.root @ (centred.T @ centred) @ reference.root
    eigenvalues = np.linalg.eigvalsh((product + product.T) / 2.0)
    return float(np.sum(np.sqrt(np.maximum(eigenvalues, 0.0))))


def _centred(features: npt.NDArray[np.floating]) -> tuple[Array, Array]:
    """The mean, and the features less their mean, in float64."""
    if features.ndim != 2 or len(features) < 2:
        raise InvalidInput(
            f"features of shape {features.shape}: must be (N, d) with N of at least 2"
        )
    wide = features.astype(np.float64)
    mean: Array = wide.mean(axis=0)
    return mean, wide - mean
