"""Limits on what architectures cost, and bringing a genome within them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from fewstep.errors import InvalidInput
from space.architecture_cost import GenomeCosts
from space.architectures import ArchitectureGenome, ArchitectureSpace, Widths

INCREMENTS = 5
"""How many equal parts the allowed saving grows in. Ref: Li et al. 2023 (AutoDiffusion)."""

SENSITIVITY_FLOOR = 1e-3
"""Least sensitivity that counts, of the largest: one estimate of nothing must not draw all cuts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundedSpace:
    """A space with the cost of its members, and the limits that they keep.

    Attributes:
        space: The genomes.
        costs: What they cost, in multiply-adds or seconds.
        least: Least share of the full network's cost: 1 less the saving that is allowed.
        most: Largest share: a budget.
        sensitivity: For each block what cutting it does to the output, in any unit; none: equal.
        weights: For each block how likely a mutation changes it: its cost that can go,
            over its sensitivity. 0 where nothing can.

    Raises:
        InvalidInput: limits out of range, a budget below what can be reached, both limits closer
            than the largest single change, no cut that saves anything, or a sensitivity that is
            missing or negative.
    """

    space: ArchitectureSpace
    costs: GenomeCosts
    least: float = 0.0
    most: float = 1.0
    sensitivity: tuple[float, ...] = ()
    weights: tuple[float, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_limits(self)
        object.__setattr__(self, "weights", _weights(self))

    def excess(self, genome: ArchitectureGenome) -> int:
        """1 where a genome costs too much, -1 where it saves too much, else 0."""
        cost, full = self.costs.cost(genome), self.costs.full
        if cost > self.most * full:
            return 1
        return -1 if cost < self.least * full else 0

    def holds(self, genome: ArchitectureGenome) -> bool:
        """Whether a genome is a member of the space within the limits."""
        return self.space.holds(genome) and self.excess(genome) == 0

    def at_generation(self, generation: int, *, max_saving: float, start: int = 0) -> BoundedSpace:
        """The same with the saving that a generation allows; for searches without a budget.

        Raises:
            InvalidInput: there is a budget, which the first generations could not meet.
        """
        allowed = ramped(max_saving, generation, start=start)
        return replace(self, least=1.0 - allowed)


def ramped(max_saving: float, generation: int, *, start: int = 0) -> float:
    """The saving that is allowed: none before `start`, then five equal parts, one a generation.

    Counted in whole parts, not added up: the published code's sum of floats misses its end.
    Ref: Li et al. 2023 (AutoDiffusion), whose ceiling is a share of layers, not of multiply-adds.
    """
    parts = min(max(generation - start + 1, 0), INCREMENTS)
    return max_saving * parts / INCREMENTS


def fitted(
    genome: ArchitectureGenome, bounded: BoundedSpace, rng: np.random.Generator
) -> ArchitectureGenome:
    """Bring what an operator made within space and limits; members come back as they are.

    Bodies that nothing ran before run at their least width instead of being reused. Then blocks go
    one place down or up until the limits hold: those likely to be mutated are cut, others restored.

    Args:
        genome: widths on the space's ladders, its steps, and no more configurations than allowed.
        bounded: where to.
        rng: chooses the blocks.
    """
    genome = _runnable(genome, bounded.space)
    bounded.space.check(genome)
    direction = bounded.excess(genome)
    while bounded.excess(genome) == direction != 0:
        genome = _one_place(genome, bounded, rng, direction)
    return genome


def few_configurations(
    by_step: Sequence[Widths], origins: Sequence[int], bounded: BoundedSpace
) -> ArchitectureGenome:
    """A genome of the space's mode from widths for each step; steps of one origin share theirs.

    Too many configurations: one becomes another, in mode "bands" one beside it, where that changes
    the fewest places by passes.
    """
    tokens = list(origins)
    if bounded.space.mode == "bands":  # an origin that comes back is another band
        tokens = np.cumsum([0, *(a != b for a, b in pairwise(origins))]).tolist()
    widths = dict(zip(tokens, by_step, strict=True))
    while len(widths) > bounded.space.max_configurations:
        loser, heir = _cheapest_merger(tokens, widths, bounded)
        tokens = [heir if token == loser else token for token in tokens]
        del widths[loser]
    order = list(widths)
    return ArchitectureGenome(tuple(widths.values()), tuple(order.index(token) for token in tokens))


def _cheapest_merger(
    tokens: Sequence[int], widths: dict[int, Widths], bounded: BoundedSpace
) -> tuple[int, int]:
    """What to replace by what; of equal changes the one at fewer passes, then the later one."""
    order = list(widths)  # by first use
    passes = dict.fromkeys(order, 0)
    for token, count in zip(tokens, bounded.costs.passes, strict=True):
        passes[token] += count
    reach = 1 if bounded.space.mode == "bands" else len(order)
    pairs = [
        (i, j)
        for i in range(len(order))
        for j in range(len(order))
        if i != j and abs(i - j) <= reach
    ]

    def change(pair: tuple[int, int]) -> tuple[int, int, int]:
        loser, heir = order[pair[0]], order[pair[1]]
        return passes[loser] * _distance(widths[loser], widths[heir]), passes[loser], -pair[0]

    i, j = min(pairs, key=change)
    return order[i], order[j]


def _distance(a: Widths, b: Widths) -> int:
    return sum(abs(x - y) for x, y in zip(a, b, strict=True))


def _runnable(genome: ArchitectureGenome, space: ArchitectureSpace) -> ArchitectureGenome:
    """Bodies that no earlier step runs run instead of being reused."""
    for b, ladder in enumerate(space.ladders):
        has_run = False
        for c in genome.of_step:
            if ladder.is_reused(genome.widths[c][b]) and not has_run:
                genome = genome.with_place(c, b, len(ladder.units) - 1)
            has_run = has_run or ladder.has_body(genome.widths[c][b])
    return genome


def _one_place(
    genome: ArchitectureGenome, bounded: BoundedSpace, rng: np.random.Generator, direction: int
) -> ArchitectureGenome:
    """One block of one configuration at the next place that the space holds, down for 1."""
    counts = np.maximum(bounded.costs.passes_of(genome), 1)  # one may be run at no pass at all
    cuts = np.outer(counts, bounded.weights).ravel()
    if direction > 0:
        chances = cuts
    else:  # what is seldom cut is restored first
        chances = np.divide(1.0, cuts, out=np.zeros_like(cuts), where=cuts > 0.0)
    while chances.any():
        picked = int(rng.choice(len(chances), p=chances / chances.sum()))
        c, b = divmod(picked, len(bounded.weights))
        if (moved := next_place(genome, bounded.space, c, b, direction)) is not None:
            return moved
        chances[picked] = 0.0
    raise AssertionError("limits can be reached: the constructor has checked it")


def next_place(
    genome: ArchitectureGenome, space: ArchitectureSpace, configuration: int, block: int, step: int
) -> ArchitectureGenome | None:
    """One block at the next place that the space holds, down the ladder for 1, up for -1."""
    place = genome.widths[configuration][block] + step
    while 0 <= place < space.ladders[block].size:
        moved = genome.with_place(configuration, block, place)
        if space.holds(moved):
            return moved
        place += step
    return None


def _weights(bounded: BoundedSpace) -> tuple[float, ...]:
    given = bounded.sensitivity or (1.0,) * len(bounded.space.blocks)
    largest = max(given) or 1.0
    return tuple(
        (row[0] - row[-1]) / max(value / largest, SENSITIVITY_FLOOR)
        for row, value in zip(bounded.costs.of_place, given, strict=True)
    )


def _check_limits(bounded: BoundedSpace) -> None:
    least, most, given = bounded.least, bounded.most, bounded.sensitivity
    if not 0.0 <= least <= most <= 1.0:
        raise _bad("least, most", (least, most), "0 <= least <= most <= 1")
    if given and (len(given) != len(bounded.space.blocks) or not all(s >= 0.0 for s in given)):
        raise _bad("sensitivity", list(given), "a number of at least 0 for each block")
    if not any(ladder.size > 1 for ladder in bounded.space.ladders):
        raise _bad("space", "no block that has two widths", "blocks of which something may go")
    full, largest = bounded.costs.full, _largest_change(bounded.costs)
    if largest <= 0:
        raise _bad("costs", bounded.costs.of_place, "blocks of which a cut saves something")
    reached = bounded.costs.share(_smallest(bounded.space))
    if most < reached:
        raise _bad("most", most, f"at least {reached:.6g}, what the smallest network takes")
    if least > 0.0 and most < 1.0 and _between(least * full, most * full, full) < largest:
        apart = f"{largest / full:.6g} apart, as large as the largest change"
        raise _bad("least, most", (least, most), apart)


def _smallest(space: ArchitectureSpace) -> ArchitectureGenome:
    """Everything cut at every step, as far as no earlier step is needed."""
    places = tuple(
        ladder.size - 1 if "removed" in ladder.bodiless else len(ladder.units) - 1
        for ladder in space.ladders
    )
    return ArchitectureGenome((places,), (0,) * space.steps)


def _between(low: float, high: float, full: float) -> float:
    """The distance of the limits; of the whole numbers within them where costs are whole."""
    return math.floor(high) - math.ceil(low) if isinstance(full, int) else high - low


def _largest_change(costs: GenomeCosts) -> float:
    """Most that one place of one block makes, at all steps at once."""
    places = (a - b for row in costs.of_place for a, b in pairwise(row))
    return sum(costs.passes) * max(places)


def _bad(where: str, what: object, allowed: str) -> InvalidInput:
    return InvalidInput(f"{where}={what!r}; allowed: {allowed}", field=where.split(",")[0])
