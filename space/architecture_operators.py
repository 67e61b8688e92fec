"""Variation of architectures as plain functions: every result is a member within the limits.

Ref: AutoDiffusion varies which layers each step skips; widths, bands and sections are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from space.architecture_limits import (
    BoundedSpace,
    few_configurations,
    fitted,
    next_place,
)
from space.architectures import ArchitectureGenome, ArchitectureSpace, Mode

Move: TypeAlias = (
    "Callable[[ArchitectureGenome, BoundedSpace, np.random.Generator], ArchitectureGenome]"
)

MAX_NUDGES = 3
"""Blocks that one mutation moves by a place, at most."""

MAX_CHANGES = 3
"""Places by which a random genome differs from the full network, at most."""


def mutate(
    genome: ArchitectureGenome, bounded: BoundedSpace, rng: np.random.Generator
) -> ArchitectureGenome:
    """Apply one move of the mixture, of those that the mode has."""
    moves = [(weight, move) for modes, weight, move in MOVES if bounded.space.mode in modes]
    chances = np.array([weight for weight, _ in moves])
    move = moves[int(rng.choice(len(moves), p=chances / chances.sum()))][1]
    return move(genome, bounded, rng)


def nudge(
    genome: ArchitectureGenome, bounded: BoundedSpace, rng: np.random.Generator
) -> ArchitectureGenome:
    """Move one to three blocks of one configuration by a place, up or down with equal chance.

    Blocks are drawn by their cost over their sensitivity, the configuration by its passes.
    """
    return fitted(
        _nudged(genome, _any_configuration(genome, bounded, rng), bounded, rng), bounded, rng
    )


def swap(
    genome: ArchitectureGenome, bounded: BoundedSpace, rng: np.random.Generator
) -> ArchitectureGenome:
    """Two blocks of one configuration that have alike ladders exchange their places.

    Where none differ, a nudge.
    """
    c = _any_configuration(genome, bounded, rng)
    widths, ladders = list(genome.widths[c]), bounded.space.ladders
    shapes = [(ladder.block.kind, len(ladder.units), ladder.bodiless) for ladder in ladders]
    pairs = [
        (i, j)
        for i in range(len(widths))
        for j in range(i + 1, len(widths))
        if widths[i] != widths[j] and shapes[i] == shapes[j]
    ]
    if not pairs:
        return nudge(genome, bounded, rng)
    i, j = pairs[int(rng.integers(len(pairs)))]
    widths[i], widths[j] = widths[j], widths[i]
    return fitted(genome.with_widths(c, tuple(widths)), bounded, rng)


def copy_neighbour(
    genome: ArchitectureGenome, bounded: BoundedSpace, rng: np.random.Generator
) -> ArchitectureGenome:
    """A step takes the configuration of a step beside it; a band the widths of one beside it.

    Where no neighbours differ, a split.
    """
    if bounded.space.mode == "bands":
        return _copied_band(genome, bounded, rng)
    steps = genome.of_step
    borders = [k for k in range(1, len(steps)) if steps[k] != steps[k - 1]]
    if not borders:
        return split(genome, bounded, rng)
    border, takes_later = borders[int(rng.integers(len(borders)))], rng.random() < 0.5
    taker, giver = (border - 1, border) if takes_later else (border, border - 1)
    changed = (*steps[:taker], steps[giver], *steps[taker + 1 :])
    return fitted(ArchitectureGenome(genome.widths, changed), bounded, rng)


def move_border(
    genome: ArchitectureGenome, bounded: BoundedSpace, rng: np.random.Generator
) -> ArchitectureGenome:
    """Move one border between bands by a step; every band keeps one. Without any, a split."""
    steps = genome.of_step
    moved = []
    for k in range(1, len(steps)):
        if steps[k] != steps[k - 1]:
            moved += [(k - 1, steps[k])] if steps.count(steps[k - 1]) > 1 else []
            moved += [(k, steps[k - 1])] if steps.count(steps[k]) > 1 else []
    if not moved:
        return split(genome, bounded, rng)
    at, configuration = moved[int(rng.integers(len(moved)))]
    changed = (*steps[:at], configuration, *steps[at + 1 :])
    return fitted(ArchitectureGenome(genome.widths, changed), bounded, rng)


def split(
    genome: ArchitectureGenome, bounded: BoundedSpace, rng: np.random.Generator
) -> ArchitectureGenome:
    """Give some steps a configuration of their own, a nudge away from the one they had.

    The steps: one that shares its configuration, or the later part of a band. Where there are as
    many configurations as allowed, or none is shared, a nudge.
    """
    steps = genome.of_step
    shared = [k for k in range(1, len(steps)) if steps.count(steps[k]) > 1]
    if bounded.space.mode == "bands":
        shared = [k for k in shared if steps[k] == steps[k - 1]]
    if not shared or len(genome.widths) == bounded.space.max_configurations:
        return nudge(genome, bounded, rng)
    at, new = shared[int(rng.integers(len(shared)))], len(genome.widths)
    is_banded = bounded.space.mode == "bands"
    own = [k == at or (is_banded and k > at and steps[k] == steps[at]) for k in range(len(steps))]
    every = (*genome.widths, genome.widths[steps[at]])
    apart = ArchitectureGenome(
        every, tuple(new if is_own else c for c, is_own in zip(steps, own, strict=True))
    )
    return fitted(_nudged(apart, apart.of_step[at], bounded, rng), bounded, rng)


MOVES: tuple[tuple[tuple[Mode, ...], float, Move], ...] = (
    (("shared", "bands", "steps"), 0.55, nudge),
    (("shared", "bands", "steps"), 0.15, swap),
    (("bands", "steps"), 0.10, copy_neighbour),
    (("bands",), 0.10, move_border),
    (("bands", "steps"), 0.10, split),
)
"""The mutation mixture: modes that have the move, probability (of those there are), and move."""


def crossover(
    a: ArchitectureGenome, b: ArchitectureGenome, bounded: BoundedSpace, rng: np.random.Generator
) -> ArchitectureGenome:
    """By step or by section with equal chance; by section where one configuration is shared."""
    if bounded.space.mode == "shared" or rng.random() < 0.5:
        return crossover_by_section(a, b, bounded, rng)
    if bounded.space.mode == "bands":
        cut = int(rng.integers(1, max(2, bounded.space.steps)))
        from_a = [step < cut for step in range(bounded.space.steps)]
    else:
        from_a = (rng.random(bounded.space.steps) < 0.5).tolist()
    return crossover_by_step(a, b, from_a, bounded, rng)


def crossover_by_step(
    a: ArchitectureGenome,
    b: ArchitectureGenome,
    from_a: Sequence[bool],
    bounded: BoundedSpace,
    rng: np.random.Generator,
) -> ArchitectureGenome:
    """Each step's configuration from the parent that `from_a` names, as its time may be too."""
    by_step, origins = [], []
    for step, is_a in enumerate(from_a):
        parent = a if is_a else b
        configuration = parent.of_step[step]
        by_step.append(parent.widths[configuration])
        origins.append(configuration if is_a else len(a.widths) + configuration)
    return fitted(few_configurations(by_step, origins, bounded), bounded, rng)


def crossover_by_section(
    a: ArchitectureGenome, b: ArchitectureGenome, bounded: BoundedSpace, rng: np.random.Generator
) -> ArchitectureGenome:
    """Each section of the network from one parent, in every configuration; steps as in the first.

    A configuration of A meets the one that B runs at its first step. Sections are exchanged whole
    because blocks of one resolution make up for each other.
    """
    sections = bounded.space.sections
    names = list(dict.fromkeys(sections))
    from_a = dict(zip(names, (rng.random(len(names)) < 0.5).tolist(), strict=True))
    widths = []
    for c, own in enumerate(a.widths):
        other = b.widths[b.of_step[a.first_step(c)]]
        pairs = zip(own, other, sections, strict=True)
        widths.append(tuple(x if from_a[section] else y for x, y, section in pairs))
    return fitted(ArchitectureGenome(tuple(widths), a.of_step), bounded, rng)


def one_place_away(genome: ArchitectureGenome, bounded: BoundedSpace) -> list[ArchitectureGenome]:
    """All members within the limits with one block of one configuration a place up or down."""
    found = (
        next_place(genome, bounded.space, c, b, step)
        for c in range(len(genome.widths))
        for b in range(len(bounded.space.blocks))
        for step in (1, -1)
    )
    return [moved for moved in found if moved is not None and bounded.holds(moved)]


def random_genome(bounded: BoundedSpace, rng: np.random.Generator) -> ArchitectureGenome:
    """The full network but for one to three places, its steps divided at random.

    Networks cut at random far from full are of no use without training.
    """
    space = bounded.space
    of_step = _random_steps(space, rng)
    count = max(of_step) + 1
    genome = ArchitectureGenome((space.full_widths,) * count, of_step)
    for _ in range(1 + int(rng.integers(MAX_CHANGES))):
        c, b = _any_configuration(genome, bounded, rng), _any_block(bounded, rng)
        genome = next_place(genome, space, c, b, 1) or genome
    return fitted(genome, bounded, rng)


def _random_steps(space: ArchitectureSpace, rng: np.random.Generator) -> tuple[int, ...]:
    """A configuration for each step, numbered by first use; how many is uniform."""
    count = 1 + int(rng.integers(space.max_configurations))
    if space.mode == "steps":
        drawn = rng.integers(count, size=space.steps).tolist()
        order = list(dict.fromkeys(drawn))
        return tuple(order.index(c) for c in drawn)
    between = rng.permutation(space.steps - 1)[: count - 1].tolist()
    return tuple(sum(border < step for border in between) for step in range(space.steps))


def _copied_band(
    genome: ArchitectureGenome, bounded: BoundedSpace, rng: np.random.Generator
) -> ArchitectureGenome:
    pairs = [
        (taker, giver)
        for taker in range(len(genome.widths))
        for giver in (taker - 1, taker + 1)
        if 0 <= giver < len(genome.widths) and genome.widths[taker] != genome.widths[giver]
    ]
    if not pairs:
        return split(genome, bounded, rng)
    taker, giver = pairs[int(rng.integers(len(pairs)))]
    return fitted(genome.with_widths(taker, genome.widths[giver]), bounded, rng)


def _nudged(
    genome: ArchitectureGenome, configuration: int, bounded: BoundedSpace, rng: np.random.Generator
) -> ArchitectureGenome:
    """Some blocks of a configuration a place away; not yet within the limits."""
    for _ in range(1 + int(rng.integers(MAX_NUDGES))):
        block, step = _any_block(bounded, rng), 1 if rng.random() < 0.5 else -1
        moved = next_place(genome, bounded.space, configuration, block, step)
        if moved is None:  # at the end of its ladder
            moved = next_place(genome, bounded.space, configuration, block, -step)
        genome = moved or genome
    return genome


def _any_configuration(
    genome: ArchitectureGenome, bounded: BoundedSpace, rng: np.random.Generator
) -> int:
    passes = np.array(bounded.costs.passes_of(genome), dtype=float)
    return int(rng.choice(len(passes), p=passes / passes.sum()))


def _any_block(bounded: BoundedSpace, rng: np.random.Generator) -> int:
    weights = np.array(bounded.weights)
    return int(rng.choice(len(weights), p=weights / weights.sum()))
