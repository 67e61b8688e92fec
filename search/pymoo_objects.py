"""Genomes as pymoo holds them: a column of objects, one variable each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pymoo.core.individual import Individual
from pymoo.core.problem import Problem
from pymoo.core.sampling import Sampling


class Given(Sampling):  # type: ignore[misc]
    """The first population as given."""

    def __init__(self, genomes: Sequence[object]) -> None:
        super().__init__()
        self._genomes = list(genomes)

    def _do(self, _problem: Problem, _n_samples: int, **_: object) -> np.ndarray:
        return boxed(self._genomes)


def boxed(genomes: Sequence[object]) -> np.ndarray:
    """Genomes as a column of objects; plain np.array would make a table of tuples."""
    column = np.empty((len(genomes), 1), dtype=object)
    for i, genome in enumerate(genomes):
        column[i, 0] = genome
    return column


def unboxed(individual: Individual) -> Any:
    """The genome of an individual."""
    return individual.X[0]


def tell(individual: Individual, objectives: Sequence[float]) -> None:
    """Leave an individual as pymoo has it once it is evaluated."""
    individual.F = np.array(objectives, dtype=float)
    individual.evaluated.update({"F", "G", "H"})
