"""A free opinion on pruned networks: log FID from what the survey measured, corrected by scores.

The model is a Bayesian linear regression (a ridge, towards what is expected of each number):

    log fid = a[rung] + b[base] + w log(1 + E / s)
            + sum over k and b of (c[b] + d[k] + f[base, k]) e[k, b] / (s + E)

with e the errors of blocks b at steps k by the survey, E their sum and s a typical one. The last
term is what log(1 + E / s) changes by, to first order, where errors count 1 + (c + d + f) / w
times. That may be less than nothing: a multistep solver extrapolates from the step before, so one
whose network is the weaker one guides the next away from what it gets wrong, and images are better
for it, on some schedules. The survey, which measures changes alone, cannot know.

The model only decides which children are worth a score, and where greedy cuts go next.

Ref: Karras et al. 2024 (Guiding a diffusion model with a bad version of itself).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

NOISE = 0.05
"""Standard deviation, in log FID, of what the model cannot explain."""

RUNG_SPREAD, BASE_SPREAD, SLOPE_SPREAD = 10.0, 0.3, 1.0
"""Standard deviations of a about the mean, of b about 0, and of w about 1."""

BLOCK_SPREAD, STEP_SPREAD, OWN_SPREAD = 1.0, 1.0, 0.5
"""Of c, d and f about 0."""

LEAST_SLOPE = 0.1
LEAST_FACTOR = 0.01
"""What does no harm still counts so much, so that of two such cuts the lesser error goes first."""

DIGITS = 9
"""Predictions are rounded, so that an order does not hang on the last bits of a linear solver."""

LEAST_FID = 1e-12


@dataclass(frozen=True, slots=True)
class Features:
    """What the model knows of a candidate.

    Attributes:
        rung: How many images, by place on the ladder.
        base: The schedule of stage 1 whose times it has, or near ones.
        errors: Of its blocks at each step, shape (steps, blocks).
    """

    rung: int
    base: int
    errors: tuple[tuple[float, ...], ...]


class ErrorModel:
    """The regression of the module's docstring.

    Args:
        known: Features of scored candidates, at least one.
        fids: Theirs, finite.
        bases: How many there are.
    """

    def __init__(self, known: Sequence[Features], fids: Sequence[float], *, bases: int) -> None:
        self._rungs = 1 + max(features.rung for features in known)
        self._bases = bases
        self._steps, self._blocks = np.shape(known[0].errors)
        totals = [total for f in known if (total := float(np.sum(f.errors))) > 0.0]
        self._scale = float(np.median(totals)) if totals else 1.0
        values = np.log(np.maximum(np.array(fids), LEAST_FID))
        self._mean = float(values.mean())
        spreads = chain(
            [RUNG_SPREAD] * self._rungs,
            [BASE_SPREAD] * bases,
            [SLOPE_SPREAD],
            [BLOCK_SPREAD] * self._blocks,
            [STEP_SPREAD] * self._steps,
            [OWN_SPREAD] * (bases * self._steps),
        )
        precision = np.array([spread**-2 for spread in spreads])
        prior = np.zeros(len(precision))
        prior[self._rungs + bases] = 1.0
        rows = self._rows(known)
        left = values - self._mean - rows @ prior
        matrix = rows.T @ rows / NOISE**2 + np.diag(precision)
        self._weights: Array = prior + np.linalg.solve(matrix, rows.T @ left / NOISE**2)

    def predict(self, unknown: Sequence[Features]) -> list[float]:
        """Predicted log FID of each; rungs that were not known of have the mean."""
        values = self._mean + self._rows(unknown) @ self._weights
        return [round(value, DIGITS) for value in values.tolist()]

    def factors(self, base: int) -> list[list[float]]:
        """How often errors count with the times of a base, shape (steps, blocks); above 0."""
        slope, *others = np.split(self._weights[self._rungs + self._bases :], self._ends())
        blocks, steps, own = others
        both = steps + own.reshape(self._bases, self._steps)[base]
        each = 1.0 + (both[:, None] + blocks) / max(float(slope[0]), LEAST_SLOPE)
        return [[round(value, DIGITS) for value in row] for row in np.maximum(each, LEAST_FACTOR)]

    def _ends(self) -> list[int]:
        """Where the slope, the blocks and the steps end among the weights from the slope on."""
        return [1, 1 + self._blocks, 1 + self._blocks + self._steps]

    def _rows(self, features: Sequence[Features]) -> Array:
        return np.array([self._row(f) for f in features])

    def _row(self, features: Features) -> Array:
        errors = np.array(features.errors)
        total = float(errors.sum())
        parts = errors / (self._scale + total)
        own = np.zeros((self._bases, self._steps))
        own[features.base] = parts.sum(axis=1)
        return np.concatenate(
            [
                [float(features.rung == rung) for rung in range(self._rungs)],
                [float(features.base == base) for base in range(self._bases)],
                [math.log1p(total / self._scale)],
                parts.sum(axis=0),
                parts.sum(axis=1),
                own.ravel(),
            ]
        )
