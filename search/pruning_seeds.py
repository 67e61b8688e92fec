"""Where the search over architectures starts, within the limits of a generation.

Greedy cuts by the survey's errors, the same in every mode; where steps may differ, also with a
configuration for each band, so that more freedom starts no worse than less. And uniform ratios.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from search.pruning_errors import place_errors
from space.architecture_limits import BoundedSpace
from space.architecture_seeds import greedy_path, uniform_seeds
from space.architectures import ArchitectureGenome, ArchitectureSpace
from space.survey import Survey

Path: TypeAlias = "tuple[ArchitectureGenome, ...]"
"""From the full network to the smallest, greedily."""

BELOW = (0.97, 0.93)
"""Shares of a budget at which there are seeds beside the budget itself."""


def greedy_paths(bounded: BoundedSpace, survey: Survey) -> tuple[Path, ...]:
    """One path for one configuration, and where more are allowed one for as many bands."""
    return tuple(
        tuple(greedy_path(bounded, place_errors(bounded.space, survey, of_step), of_step))
        for of_step in patterns(bounded.space)
    )


def patterns(space: ArchitectureSpace) -> list[tuple[int, ...]]:
    """The configuration of each step: one for all; then runs of steps as equal as can be."""
    counts = dict.fromkeys([1, space.max_configurations])
    return [tuple(step * n // space.steps for step in range(space.steps)) for n in counts]


def opening_seeds(
    bounded: BoundedSpace, paths: Sequence[Path], opened: float
) -> list[ArchitectureGenome]:
    """Seeds of a newly allowed range, down to `least`.

    Args:
        bounded: The limits now.
        paths: From `greedy_paths`.
        opened: The least share that was allowed before.
    """
    at_end = [cheapest_above(path, bounded, bounded.least) for path in paths]
    halfway = (bounded.least + opened) / 2
    between = [cheapest_above(path, bounded, halfway) for path in paths]
    return _distinct([*at_end, *uniform_seeds(bounded).values(), *between])


def budget_seeds(bounded: BoundedSpace, paths: Sequence[Path]) -> list[ArchitectureGenome]:
    """Seeds at a budget and a bit below."""
    limits = [bounded.most * factor for factor in (1.0, *BELOW)]
    greedy = [dearest_within(path, bounded, limit) for limit in limits for path in paths]
    found = [genome for genome in greedy if genome is not None and bounded.holds(genome)]
    return _distinct([*found, *uniform_seeds(bounded).values()])


def cheapest_above(path: Path, bounded: BoundedSpace, share: float) -> ArchitectureGenome:
    """The last of a path that costs no less than a share."""
    least = share * bounded.costs.full
    return [genome for genome in path if bounded.costs.cost(genome) >= least][-1]


def dearest_within(path: Path, bounded: BoundedSpace, share: float) -> ArchitectureGenome | None:
    """The first of a path that costs no more than a share; None where none is so cheap."""
    most = share * bounded.costs.full
    return next((genome for genome in path if bounded.costs.cost(genome) <= most), None)


def _distinct(genomes: Sequence[ArchitectureGenome]) -> list[ArchitectureGenome]:
    return list(dict.fromkeys(genomes))
