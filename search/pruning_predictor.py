"""A free opinion on pruned networks: log FID from what the survey measured, corrected by scores.

The model is a Bayesian linear regression (a ridge, towards what is expected of each number):

    log fid = a[rung] + b[base] + w log(1 + E / s) + sum over blocks of c[block] e[block] / (s + E)

with e the errors of the blocks by the survey, E their sum and s a typical one. The last term is
what log(1 + E / s) changes by, to first order, where the errors of a block count 1 + c / w times.
It only decides which children are worth a score.
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

RUNG_SPREAD, BASE_SPREAD, SLOPE_SPREAD, BLOCK_SPREAD = 10.0, 0.3, 1.0, 1.0
"""Standard deviations of a about the mean, of b and c about 0, and of w about 1."""

DIGITS = 9
"""Predictions are rounded, so that an order does not hang on the last bits of a linear solver."""

LEAST_FID = 1e-12


@dataclass(frozen=True, slots=True)
class Features:
    """What the model knows of a candidate.

    Attributes:
        rung: How many images, by place on the ladder.
        base: The schedule of stage 1 whose times it has, or near ones.
        errors: Of its blocks.
    """

    rung: int
    base: int
    errors: tuple[float, ...]


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
        totals = [total for f in known if (total := sum(f.errors)) > 0.0]
        self._scale = float(np.median(totals)) if totals else 1.0
        values = np.log(np.maximum(np.array(fids), LEAST_FID))
        self._mean = float(values.mean())
        blocks = len(known[0].errors)
        spreads = chain(
            [RUNG_SPREAD] * self._rungs,
            [BASE_SPREAD] * bases,
            [SLOPE_SPREAD],
            [BLOCK_SPREAD] * blocks,
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

    def _rows(self, features: Sequence[Features]) -> Array:
        return np.array([self._row(f) for f in features])

    def _row(self, features: Features) -> list[float]:
        total = sum(features.errors)
        rungs = [float(features.rung == rung) for rung in range(self._rungs)]
        bases = [float(features.base == base) for base in range(self._bases)]
        parts = [error / (self._scale + total) for error in features.errors]
        return [*rungs, *bases, math.log1p(total / self._scale), *parts]
