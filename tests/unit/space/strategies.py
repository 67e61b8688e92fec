"""Hypothesis strategies: spaces, genomes in them, and random generators."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from hypothesis import strategies as st

from fewstep.process import VPDiscrete
from space.timesteps import Genome, TimestepSpace


@lru_cache
def process(size: int) -> VPDiscrete:
    """A linear process of `size` steps, as noisy at its end as one of 1000 where it has many."""
    return VPDiscrete.linear(size, 0.1 / size, min(20.0 / size, 0.5))


@lru_cache
def space_of(size: int, steps: int, min_gap: int = 1, solver: str = "ddim") -> TimestepSpace:
    """A cached space: building its table of levels is the slow part of an example."""
    return TimestepSpace(process(size), solver, steps, min_gap)


@st.composite
def spaces(draw: st.DrawFn) -> TimestepSpace:
    """Spaces from roomy to one that has a single member."""
    steps, min_gap = draw(st.integers(1, 8)), draw(st.integers(1, 5))
    least = max(2, (steps - 1) * min_gap + 1)
    return space_of(draw(st.sampled_from([least, least + 1, 60, 200])), steps, min_gap)


def genomes(space: TimestepSpace) -> st.SearchStrategy[Genome]:
    """Members of a space: sorted draws, moved apart by the gap."""
    slack = space.size - (space.steps - 1) * space.min_gap
    draws = st.lists(st.integers(0, slack - 1), min_size=space.steps, max_size=space.steps)
    return draws.map(
        lambda ks: tuple(
            k + (space.steps - 1 - i) * space.min_gap
            for i, k in enumerate(sorted(ks, reverse=True))
        )
    )


generators = st.integers(0, 2**32 - 1).map(np.random.default_rng)
