"""What a strategy is: a generator that yields asks, is sent scores, and returns its finalists.

A strategy knows no clock, no Ray, no database and no global random state. Its whole state is the
request's seed and the scores it was sent, so sending the same scores again repeats it exactly:
that, and nothing else, is how a search is resumed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np

from evaluators.score import Ask, Score
from space.candidate import Candidate

R = TypeVar("R")

Asking: TypeAlias = Generator[list[Ask], list[Score], R]
"""A part of a strategy: yields batches, is sent one score per ask in ask order, returns R."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The best known schedule after `calls` network calls, as scored with `num_samples` images."""

    calls: int
    fid: float
    num_samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a strategy found.

    Attributes:
        finalists: Best first, by the strategy's own scores on the search bank.
        calls_spent: Network calls by the ledger's count.
        history: The best so far after each batch; comparable only within one `num_samples`.
        ranked: All that were scored with the most images, best first; none where a strategy scores
            each with images of its own.
    """

    finalists: tuple[Candidate, ...]
    calls_spent: int
    history: tuple[Best, ...]
    ranked: tuple[Candidate, ...] = ()


Strategy: TypeAlias = Asking[Outcome]


def generator_for(seed: int, name: str) -> np.random.Generator:
    """The random generator of one strategy under one seed; different names are unrelated."""
    words = hashlib.sha256(name.encode("utf-8")).digest()
    return np.random.Generator(np.random.PCG64([seed, int.from_bytes(words[:8], "little")]))
