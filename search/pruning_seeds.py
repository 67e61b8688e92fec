"""Where the search over architectures starts, within the limits of a generation.

Greedy cuts by the survey's errors, the same in every mode, and later on by what scores have shown
of them; where steps may differ, also with a configuration for each band, so that more freedom
starts no worse than less; where bodies may be reused, also with every second step apart. And
uniform ratios.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, pairwise, zip_longest
from typing import TypeAlias

from search.pruning_errors import block_errors, place_errors
from space.architecture_limits import BoundedSpace
from space.architecture_seeds import Errors, greedy_path, uniform_seeds
from space.architectures import ArchitectureGenome, ArchitectureSpace
from space.survey import Survey

Path: TypeAlias = "tuple[ArchitectureGenome, ...]"
"""From the full network to the smallest, greedily."""

Factors: TypeAlias = "Sequence[Sequence[float]]"
"""How often errors count, shape (steps, blocks)."""

Order: TypeAlias = "Callable[[Iterable[ArchitectureGenome]], list[ArchitectureGenome]]"

LEAST_LOSS = 1e-30

BELOW = (0.97, 0.93)
"""Shares of a budget at which there are seeds beside the budget itself."""


def greedy_paths(
    bounded: BoundedSpace, survey: Survey, factors: Factors | None = None
) -> tuple[Path, ...]:
    """A path for each of `patterns`, and where steps alternate one that does nothing but reuse.

    Args:
        bounded: The limits.
        survey: What was measured.
        factors: How often errors of each block count at each step; none: once. With them steps that
            are alike may have a path too.
    """
    space = bounded.space
    every = patterns(space)
    if factors is not None and space.mode == "steps":
        own = [True] * space.steps
        groups = alike(losses(space, survey, factors), own, space.max_configurations)
        order = list(dict.fromkeys(groups))
        every = list(dict.fromkeys([tuple(order.index(group) for group in groups), *every]))
    paths = [greedy_way(bounded, survey, of_step, factors) for of_step in every]
    return (*paths, reuse_path(bounded, survey)) if alternates(space) else tuple(paths)


def greedy_way(
    bounded: BoundedSpace, survey: Survey, of_step: tuple[int, ...], factors: Factors | None = None
) -> Path:
    """The greedy path without what errs more than a smaller one of it: it only passes there."""
    blocks = bounded.space.blocks
    errors = counted(place_errors(bounded.space, survey, of_step), bounded.space, factors)
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


def losses(space: ArchitectureSpace, survey: Survey, factors: Factors) -> list[float]:
    """For each step the logarithm of what all of its cuts err by."""
    errors = counted(place_errors(space, survey, (0,) * space.steps), space, factors)
    return [math.log(max(LEAST_LOSS, sum(e[-1] for e in step.values()))) for step in errors]


def alike(losses: Sequence[float], is_own: Sequence[bool], count: int) -> list[int]:
    """Groups of the own steps, numbered from the one that loses least; 0 for others.

    In order of their losses they are divided where the next loses most more.
    """
    order = sorted((k for k, own in enumerate(is_own) if own), key=lambda k: (losses[k], k))
    gaps = [losses[b] - losses[a] for a, b in pairwise(order)]
    widest = sorted(range(len(gaps)), key=lambda i: (-gaps[i], i))[: count - 1]
    groups = [0] * len(losses)
    for place, step in enumerate(order):
        groups[step] = sum(border < place for border in widest)
    return groups


def patterns(space: ArchitectureSpace) -> list[tuple[int, ...]]:
    """The configuration of each step.

    One for all; runs of steps as equal as can be. Where bodies may be reused also the first in turn
    with a second, and with others in runs: what is reused late errs more than early. A period of
    three errs more at equal cost, for bodies grow older.
    """
    counts = dict.fromkeys([1, space.max_configurations])
    runs = [tuple(step * n // space.steps for step in range(space.steps)) for n in counts]
    in_turn = [_in_turn(space, others) for others in range(1, space.max_configurations)]
    return list(dict.fromkeys([*runs, *in_turn])) if alternates(space) else runs


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
    bounded: BoundedSpace, paths: Sequence[Path], opened: float, order: Order
) -> list[ArchitectureGenome]:
    """Seeds of a newly allowed range, down to `least`; the first may be all that are scored.

    Ends of greedy paths, the most promising first, pure reuse and uniform ratios, in turn; then
    what lies halfway.

    Args:
        bounded: The limits now.
        paths: From `greedy_paths`.
        opened: The least share that was allowed before.
        order: Puts the most promising first.
    """
    halfway = (bounded.least + opened) / 2
    ends, between = (
        [cheapest_above(path, bounded, share) for path in paths]
        for share in (bounded.least, halfway)
    )
    reuse = [ends.pop()] if alternates(bounded.space) else []
    greedy = order(ends)
    _, *uniform = uniform_seeds(bounded).values()  # but for the full network
    in_turn = chain.from_iterable(zip_longest(greedy, reuse, uniform))
    seeds = [genome for genome in in_turn if genome is not None]
    return _distinct([*seeds, *order(between)])


def budget_seeds(
    bounded: BoundedSpace, paths: Sequence[Path], order: Order
) -> list[ArchitectureGenome]:
    """Seeds at a budget and a bit below, at each the most promising first."""
    greedy: list[ArchitectureGenome] = []
    for limit in (bounded.most * factor for factor in (1.0, *BELOW)):
        within = (dearest_within(path, bounded, limit) for path in paths)
        held = [genome for genome in within if genome is not None and bounded.holds(genome)]
        greedy += order(held)
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


def counted(
    errors: Sequence[Errors], space: ArchitectureSpace, factors: Factors | None
) -> Sequence[Errors]:
    """Errors as often as they count."""
    if factors is None:
        return errors
    names = [block.name for block in space.blocks]
    return [
        {name: [f * e for e in own[name]] for name, f in zip(names, row, strict=True)}
        for own, row in zip(errors, factors, strict=True)
    ]


def alternates(space: ArchitectureSpace) -> bool:
    """Whether steps may differ in turn, and any body be reused."""
    may_differ = space.mode == "steps" and space.max_configurations > 1
    return may_differ and any(ladder.can_be_reused for ladder in space.ladders)


def _in_turn(space: ArchitectureSpace, others: int) -> tuple[int, ...]:
    """Every second step has one of so many others, each for a run of these steps."""
    turns = space.steps // 2
    return tuple(step % 2 and 1 + step // 2 * others // turns for step in range(space.steps))


def _distinct(genomes: Sequence[ArchitectureGenome]) -> list[ArchitectureGenome]:
    return list(dict.fromkeys(genomes))
