"""Where a search over architectures starts: uniform ratios, and greedy cuts by measured errors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from fewstep.errors import InvalidInput
from space.architecture_limits import BoundedSpace, next_place
from space.architectures import ArchitectureGenome

UNIFORM_EIGHTHS = (7, 6, 5, 4)

Errors: TypeAlias = "Mapping[str, Sequence[float]]"
"""For each block the error of the output with it alone at each place of its ladder, 0 first."""


def uniform_seeds(bounded: BoundedSpace) -> dict[str, ArchitectureGenome]:
    """The full network, and every block at 7/8 to 4/8, by name; those within the limits."""
    space = bounded.space
    seeds = {"full": space.full}
    for eighths in UNIFORM_EIGHTHS:
        widths = tuple(ladder.place_of(eighths) for ladder in space.ladders)
        seeds[f"uniform-{eighths}/8"] = ArchitectureGenome((widths,), (0,) * space.steps)
    return {name: genome for name, genome in seeds.items() if bounded.holds(genome)}


def greedy_seed(
    bounded: BoundedSpace, errors: Sequence[Errors], of_step: Sequence[int] | None = None
) -> ArchitectureGenome:
    """Cut by least error per cost saved, as far as the limits demand or allow.

    With a budget: the first genome of `greedy_path` within it. Without: the last that does not
    save more than is allowed.

    Args:
        bounded: the limits.
        errors: one for all steps, or one for each.
        of_step: the configuration of each step; none: one for all.

    Raises:
        InvalidInput: errors are missing or of other lengths; steps that the space does not hold.
    """
    found = bounded.space.full
    for genome in greedy_path(bounded, errors, of_step):
        excess = bounded.excess(genome)
        if excess < 0:
            break
        if bounded.costs.cost(genome) < bounded.costs.cost(found):
            found = genome
        if excess == 0 and bounded.most < 1.0:
            break
    return found


def greedy_path(
    bounded: BoundedSpace, errors: Sequence[Errors], of_step: Sequence[int] | None = None
) -> Iterator[ArchitectureGenome]:
    """From the full network to the smallest, one place of one block at a time.

    Errors of blocks are taken to add up. Of all that can be cut next, what adds the least error per
    cost saved goes first. A place that is worse in that than the one below it is only
    passed through (the lower convex hull of a block's errors over its savings), so no set of cuts
    that saves as much has a smaller sum of errors wherever no place is being passed through.
    Ties: the earlier configuration and block. Arguments and errors as for `greedy_seed`.
    """
    space = bounded.space
    steps = tuple(of_step or (0,) * space.steps)
    genome = ArchitectureGenome((space.full_widths,) * (max(steps) + 1), steps)
    space.check(genome)
    _check_errors(bounded, errors)
    yield genome
    for cut in sorted(_cuts(bounded, errors, genome), key=lambda cut: cut.rate):
        for place in range(cut.start + 1, cut.stop + 1):
            moved = genome.with_place(cut.configuration, cut.block, place)
            if space.holds(moved):  # else: a place between that reuses what nothing ran
                genome = moved
                yield genome
    for c in reversed(range(len(genome.widths))):  # what other configurations' reuse held up
        for b in range(len(space.blocks)):
            while (smaller := next_place(genome, space, c, b, 1)) is not None:
                genome = smaller
                yield genome


@dataclass(frozen=True, slots=True)
class _Cut:
    """A block of a configuration goes from one place to another at a rate of error to saving."""

    configuration: int
    block: int
    start: int
    stop: int
    rate: float


def _cuts(
    bounded: BoundedSpace, errors: Sequence[Errors], genome: ArchitectureGenome
) -> Iterator[_Cut]:
    passes = bounded.costs.passes_of(genome)
    for c, count in enumerate(passes):
        own = [e for e, of in zip(_each(errors, bounded), genome.of_step, strict=True) if of == c]
        for b, ladder in enumerate(bounded.space.ladders):
            places = [
                place
                for place in range(ladder.size)
                if not (ladder.is_reused(place) and genome.first_step(c) == 0)
            ]
            sums = [sum(e[ladder.block.name][place] for e in own) for place in places]
            costs = bounded.costs.of_place[b]
            saved = [count * (costs[0] - costs[place]) for place in places]
            rate = -math.inf
            for i, j in _hull(saved, sums):
                # The rates of a block rise but for rounding, and its cuts must stay in order.
                rate = max(rate, (sums[j] - sums[i]) / (saved[j] - saved[i]))
                yield _Cut(c, b, places[i], places[j], rate)


def _hull(saved: Sequence[float], errors: Sequence[float]) -> Iterator[tuple[int, int]]:
    """Edges of the lower convex hull from the first point on, by the slopes they have."""
    at = 0
    while True:
        rates = {
            j: (errors[j] - errors[at]) / (saved[j] - saved[at])
            for j in range(at + 1, len(saved))
            if saved[j] > saved[at]
        }
        if not rates:
            return
        least = min(rates.values())
        following = max((j for j in rates if rates[j] == least), key=lambda j: (saved[j], -j))
        yield at, following
        at = following


def _each(errors: Sequence[Errors], bounded: BoundedSpace) -> Sequence[Errors]:
    return errors if len(errors) > 1 else [errors[0]] * bounded.space.steps


def _check_errors(bounded: BoundedSpace, errors: Sequence[Errors]) -> None:
    space = bounded.space
    if len(errors) not in (1, space.steps):
        raise _bad("errors", len(errors), f"one, or one for each of {space.steps} steps")
    for step, given in enumerate(errors):
        for ladder in space.ladders:
            values = given.get(ladder.block.name, ())
            if len(values) != ladder.size:
                name = f"errors[{step}].{ladder.block.name}"
                raise _bad(name, list(values), f"a number for each of {ladder.size} places")


def _bad(where: str, what: object, allowed: str) -> InvalidInput:
    return InvalidInput(f"{where}={what!r}; allowed: {allowed}", field="errors")
