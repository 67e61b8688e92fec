"""Where the search over architectures starts, within the limits of a generation.

Greedy cuts by the survey's errors, the same in every mode; where steps may differ, also with a
configuration for each band, so that more freedom starts no worse than less; where bodies may be
reused, also with every second step apart. And uniform ratios.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest
from typing import TypeAlias

from search.pruning_errors import block_errors, place_errors
from space.architecture_limits import BoundedSpace
from space.architecture_seeds import greedy_path, uniform_seeds
from space.architectures import ArchitectureGenome, ArchitectureSpace
from space.survey import Survey

Path: TypeAlias = "tuple[ArchitectureGenome, ...]"
"""From the full network to the smallest, greedily."""

BELOW = (0.97, 0.93)
"""Shares of a budget at which there are seeds beside the budget itself."""


def greedy_paths(bounded: BoundedSpace, survey: Survey) -> tuple[Path, ...]:
    """A path for each of `patterns`, and where steps alternate one that does nothing but reuse."""
    paths = [_greedy(bounded, survey, of_step) for of_step in patterns(bounded.space)]
    return (*paths, reuse_path(bounded, survey)) if _alternates(bounded.space) else tuple(paths)


def _greedy(bounded: BoundedSpace, survey: Survey, of_step: tuple[int, ...]) -> Path:
    """The greedy path without what errs more than a smaller one of it: it only passes there."""
    errors, blocks = place_errors(bounded.space, survey, of_step), bounded.space.blocks
    kept: list[ArchitectureGenome] = []
    least = math.inf
    for genome in reversed(tuple(greedy_path(bounded, errors, of_step))):
        error = sum(
            own[block.name][place]
            for own, c in zip(errors, of_step, strict=True)
            for block, place in zip(blocks, genome.widths[c], strict=True)
        )
        if error <= least:
            kept.append(genome)
            least = error
    return tuple(reversed(kept))


def patterns(space: ArchitectureSpace) -> list[tuple[int, ...]]:
    """The configuration of each step.

    One for all; runs of steps as equal as can be. Where bodies may be reused also the first in turn
    with a second, and with others in runs: what is reused late errs more than early. A period of
    three errs more at equal cost, for bodies grow older.
    """
    counts = dict.fromkeys([1, space.max_configurations])
    runs = [tuple(step * n // space.steps for step in range(space.steps)) for n in counts]
    in_turn = [_in_turn(space, others) for others in range(1, space.max_configurations)]
    return list(dict.fromkeys([*runs, *in_turn])) if _alternates(space) else runs


def reuse_path(bounded: BoundedSpace, survey: Survey) -> Path:
    """Every second step takes one body more from the step before, by least error per saving.

    Nothing else is cut. The greedy path through the same steps errs less by the survey, which knows
    nothing of what cuts at one step do to the states of the next, nor of repair.
    """
    space, of_step = bounded.space, _in_turn(bounded.space, 1)
    errors = place_errors(space, survey, of_step)[1::2]
    rates = {}
    for b, ladder in enumerate(space.ladders):
        reused, costs = len(ladder.units), bounded.costs.of_place[b]
        if ladder.can_be_reused and costs[0] > costs[reused]:
            error = sum(step[ladder.block.name][reused] for step in errors)
            rates[b, reused] = error / (costs[0] - costs[reused])
    path = [ArchitectureGenome((space.full_widths,) * 2, of_step)]
    for block, reused in sorted(rates, key=lambda place: rates[place]):
        path.append(path[-1].with_place(1, block, reused))
    return tuple(path)


def opening_seeds(
    bounded: BoundedSpace, survey: Survey, paths: Sequence[Path], opened: float
) -> list[ArchitectureGenome]:
    """Seeds of a newly allowed range, down to `least`; the first may be all that are scored.

    Ends of greedy paths, those first that err least by the survey, pure reuse and uniform ratios,
    in turn; then what lies halfway.

    Args:
        bounded: The limits now.
        survey: What was measured.
        paths: From `greedy_paths`.
        opened: The least share that was allowed before.
    """
    halfway = (bounded.least + opened) / 2
    ends, between = (
        [cheapest_above(path, bounded, share) for path in paths]
        for share in (bounded.least, halfway)
    )
    reuse = [ends.pop()] if _alternates(bounded.space) else []
    greedy = by_error(ends, bounded.space, survey)
    _, *uniform = uniform_seeds(bounded).values()  # but for the full network
    in_turn = chain.from_iterable(zip_longest(greedy, reuse, uniform))
    seeds = [genome for genome in in_turn if genome is not None]
    return _distinct([*seeds, *by_error(between, bounded.space, survey)])


def budget_seeds(
    bounded: BoundedSpace, survey: Survey, paths: Sequence[Path]
) -> list[ArchitectureGenome]:
    """Seeds at a budget and a bit below, at each those first that err least by the survey."""
    greedy: list[ArchitectureGenome] = []
    for limit in (bounded.most * factor for factor in (1.0, *BELOW)):
        within = (dearest_within(path, bounded, limit) for path in paths)
        held = [genome for genome in within if genome is not None and bounded.holds(genome)]
        greedy += by_error(held, bounded.space, survey)
    return _distinct([*greedy, *uniform_seeds(bounded).values()])


def by_error(
    genomes: Iterable[ArchitectureGenome], space: ArchitectureSpace, survey: Survey
) -> list[ArchitectureGenome]:
    """Genomes in the order of what the survey says they do to the output; equal ones as given."""
    return sorted(
        genomes,
        key=lambda genome: sum(block_errors(space.decode(genome, survey.rankings), space, survey)),
    )


def cheapest_above(path: Path, bounded: BoundedSpace, share: float) -> ArchitectureGenome:
    """The last of a path that costs no less than a share."""
    least = share * bounded.costs.full
    return [genome for genome in path if bounded.costs.cost(genome) >= least][-1]


def dearest_within(path: Path, bounded: BoundedSpace, share: float) -> ArchitectureGenome | None:
    """The first of a path that costs no more than a share; None where none is so cheap."""
    most = share * bounded.costs.full
    return next((genome for genome in path if bounded.costs.cost(genome) <= most), None)


def _alternates(space: ArchitectureSpace) -> bool:
    """Whether steps may differ in turn, and any body be reused."""
    may_differ = space.mode == "steps" and space.max_configurations > 1
    return may_differ and any(ladder.can_be_reused for ladder in space.ladders)


def _in_turn(space: ArchitectureSpace, others: int) -> tuple[int, ...]:
    """Every second step has one of so many others, each for a run of these steps."""
    turns = space.steps // 2
    return tuple(step % 2 and 1 + step // 2 * others // turns for step in range(space.steps))


def _distinct(genomes: Sequence[ArchitectureGenome]) -> list[ArchitectureGenome]:
    return list(dict.fromkeys(genomes))
