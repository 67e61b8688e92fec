"""Free first opinions: interpolants of log fitness, the lowest rung of the ladder.

With common random numbers fitness is a smooth function of the levels, so what is known says much
about what is near it. A surrogate only decides which children are worth a score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from space.choices import coordinates as choice_coordinates
from space.timesteps import Genome, TimestepSpace

Array = npt.NDArray[np.float64]

SMOOTHING = 1e-6
"""Ridge of the interpolant relative to its kernel; keeps near neighbours solvable."""

CORRECTION_LENGTH = 1.0
"""How far, in lam, the difference between two numbers of images is felt."""

CORRECTION_NOISE = 1e-2
"""Variance of that difference from one genome to the next, relative to its own."""

DIGITS = 9
"""Predictions are rounded, so that an order does not hang on the last bits of a linear solver."""

LEAST_FITNESS = 1e-12


class Predictor(Protocol):
    """Predicts log fitness at some number of images."""

    def predict(self, genomes: Sequence[Genome]) -> list[float]:
        """Predicted log fitness of each genome; only the order matters."""
        ...


class Interpolant:
    """Cubic radial basis functions with a linear tail. Ref: Regis, Shoemaker 2007.

    Args:
        space: Gives the coordinates: half log-SNR of each point, and the choices.
        known: Finite fitness by genome, at least one.
    """

    def __init__(self, space: TimestepSpace, known: Mapping[Genome, float]) -> None:
        self._space = space
        self._centres = coordinates(space, list(known))
        values = np.log(np.maximum(np.array(list(known.values())), LEAST_FITNESS))
        # The bad half is only "bad": its exact sizes would bend the good one.
        self._weights, self._tail = _fit(self._centres, np.minimum(values, np.median(values)))

    def predict(self, genomes: Sequence[Genome]) -> list[float]:
        """Predicted log fitness of each genome."""
        points = coordinates(self._space, genomes)
        kernel = distances(points, self._centres) ** 3
        values = kernel @ self._weights + _linear(points) @ self._tail
        return [round(value, DIGITS) for value in values.tolist()]


class Corrected:
    """A predictor for few images, corrected by what is known of the same genomes with more.

    The correction is the mean difference, plus a Gaussian-kernel regression of what is left of it.

    Args:
        space: Gives the coordinates.
        below: The predictor for fewer images.
        known: Finite fitness with more images by genome, at least one.
    """

    def __init__(
        self, space: TimestepSpace, below: Predictor, known: Mapping[Genome, float]
    ) -> None:
        self._space, self._below = space, below
        self._centres = coordinates(space, list(known))
        values = np.log(np.maximum(np.array(list(known.values())), LEAST_FITNESS))
        difference = values - np.array(below.predict(list(known)))
        self._mean = float(difference.mean())
        kernel = _bell(self._centres, self._centres) + CORRECTION_NOISE * np.eye(len(values))
        self._weights = np.linalg.solve(kernel, difference - self._mean)

    def predict(self, genomes: Sequence[Genome]) -> list[float]:
        """Predicted log fitness of each genome with more images."""
        kernel = _bell(coordinates(self._space, genomes), self._centres)
        values = np.array(self._below.predict(genomes)) + self._mean + kernel @ self._weights
        return [round(value, DIGITS) for value in values.tolist()]


def coordinates(space: TimestepSpace, genomes: Sequence[Genome]) -> Array:
    """Half log-SNR of every point, then those of the choices, shape (len(genomes), d)."""
    return np.array(
        [
            [space.lams[k] for k in space.points(genome)]
            + choice_coordinates(space.genes, space.choices(genome))
            for genome in genomes
        ]
    )


def distances(a: Array, b: Array) -> Array:
    """Euclidean distances, shape (len(a), len(b))."""
    return np.asarray(np.sqrt(((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=-1)))


def _fit(points: Array, values: Array) -> tuple[Array, Array]:
    """Weights of the kernel and coefficients of the tail; least squares where points are few."""
    count, dimension = points.shape
    kernel = distances(points, points) ** 3
    kernel += SMOOTHING * max(1.0, float(kernel.mean())) * np.eye(count)
    tail = _linear(points)
    system = np.block([[kernel, tail], [tail.T, np.zeros((dimension + 1, dimension + 1))]])
    right = np.concatenate([values, np.zeros(dimension + 1)])
    solution = np.linalg.lstsq(system, right, rcond=None)[0]
    return solution[:count], solution[count:]


def _linear(points: Array) -> Array:
    """The terms of the linear tail: 1 and each coordinate."""
    return np.column_stack([np.ones(len(points)), points])


def _bell(a: Array, b: Array) -> Array:
    """The Gaussian kernel between two sets of points."""
    return np.asarray(np.exp(-(distances(a, b) ** 2) / (2.0 * CORRECTION_LENGTH**2)))
