"""Variation of genomes as plain functions: every result is a repaired member of the space.

Moves are made in lam (half log-SNR), where schedules of all processes look alike, except where the
published algorithm moves in the index.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from space.choices import (
    Choices,
    changed,
    inherited,
    neighbours,
    random_choices,
    start_choices,
)
from space.repair import repair
from space.timesteps import Genome, Points, TimestepSpace

Move: TypeAlias = "Callable[[Genome, TimestepSpace, np.random.Generator, float], Genome]"
Crossover: TypeAlias = "Callable[[Genome, Genome, TimestepSpace, np.random.Generator], Genome]"

RESAMPLE_RATE = 0.25
"""Per-gene probability of a global resample, the published rate for few steps."""

MAX_SHIFT_SCALE = 0.15
"""Spread of the log factor by which a whole schedule is stretched, per unit of jitter scale."""


OPTION_RATE = 0.6
"""How often a mutation changes choices, where there are any."""

POINT_RATE = 0.7
"""How often a mutation of choices moves points too; one that leaves choices alone always does."""

OPTION_ATTEMPTS = 100
"""Draws of choices that must go together before the start's are taken."""


def random_genome(space: TimestepSpace, rng: np.random.Generator) -> Genome:
    """K distinct indices, uniform over the range, sorted; choices that go together."""
    drawn = rng.choice(space.size, size=space.steps, replace=False)
    return (*repair([int(k) for k in drawn], space), *_random_choices(space, rng))


def crossover_by_position(
    a: Genome, b: Genome, space: TimestepSpace, rng: np.random.Generator
) -> Genome:
    """Each position of the sorted genomes from one parent or the other, with equal chance."""
    from_a = rng.random(space.steps) < 0.5
    pairs = zip(space.points(a), space.points(b), from_a, strict=True)
    points = repair([x if keep else y for x, y, keep in pairs], space)
    return (*points, *_crossed(a, b, from_a.tolist(), space, rng))


def crossover_by_level(
    a: Genome, b: Genome, space: TimestepSpace, rng: np.random.Generator
) -> Genome:
    """Parent A above a random noise level, parent B below it.

    Too many points: random ones are dropped. Too few: the widest gaps are halved.
    """
    noisy, clean = space.points(a), space.points(b)
    cut = space.index_near(
        _between(rng, space.lams[max(noisy[0], clean[0])], space.lams[min(noisy[-1], clean[-1])])
    )
    points = sorted({k for k in noisy if k > cut} | {k for k in clean if k <= cut}, reverse=True)
    while len(points) > space.steps:
        points.pop(int(rng.integers(len(points))))
    while len(points) < space.steps:
        points = _halve_widest_gap(points, space)
    repaired = repair(points, space)
    return (*repaired, *_crossed(a, b, [k > cut for k in repaired], space, rng))


def crossover(a: Genome, b: Genome, space: TimestepSpace, rng: np.random.Generator) -> Genome:
    """One of the crossovers, with equal chance."""
    operator = crossover_by_position if rng.random() < 0.5 else crossover_by_level
    return operator(a, b, space, rng)


def resample(
    genome: Genome, space: TimestepSpace, rng: np.random.Generator, _scale: float
) -> Genome:
    """Replace genes by uniform draws over the whole range, at least one of them."""
    hit = rng.random(space.steps) < RESAMPLE_RATE
    hit[int(rng.integers(space.steps))] = True
    drawn = rng.integers(space.size, size=space.steps)
    points = zip(space.points(genome), drawn, hit, strict=True)
    return _with_points(
        repair([int(new) if h else k for k, new, h in points], space), genome, space
    )


def jitter(genome: Genome, space: TimestepSpace, rng: np.random.Generator, scale: float) -> Genome:
    """Move some points, at least one, by a normal step in lam of standard deviation `scale`."""
    hit = rng.random(space.steps) < max(0.5, 1.0 / space.steps)
    hit[int(rng.integers(space.steps))] = True
    step = np.where(hit, scale * rng.standard_normal(space.steps), 0.0)
    return moved(genome, step, space)


def shift_and_stretch(
    genome: Genome, space: TimestepSpace, rng: np.random.Generator, scale: float
) -> Genome:
    """Shift the whole schedule in lam and stretch it about its middle."""
    lams = np.array([space.lams[k] for k in space.points(genome)])
    factor = np.exp(MAX_SHIFT_SCALE * min(scale, 1.0) * rng.standard_normal())
    target = lams.mean() + scale * rng.standard_normal() + factor * (lams - lams.mean())
    return moved(genome, target - lams, space)


def insert_and_delete(
    genome: Genome, space: TimestepSpace, rng: np.random.Generator, _scale: float
) -> Genome:
    """Drop one point and put another at a random place in lam."""
    if space.steps == 1:
        return _with_points(space.points(random_genome(space, rng)), genome, space)
    points = list(space.points(genome))
    points.pop(int(rng.integers(len(points))))
    points.append(space.index_near(_between(rng, space.lams[-1], space.lams[0])))
    return _with_points(repair(points, space), genome, space)


def move_start(
    genome: Genome, space: TimestepSpace, rng: np.random.Generator, _scale: float
) -> Genome:
    """Start at another noise level; the points between it and the last are carried along."""
    least = space.points(genome)[-1] + (space.steps - 1) * space.min_gap
    return restarted(genome, int(rng.integers(least, space.size)), space)


def restarted(genome: Genome, start: int, space: TimestepSpace) -> Genome:
    """The same shape in lam between another first index and the same last one."""
    lams = [space.lams[k] for k in space.points(genome)]
    last, old = lams[-1], lams[0] - lams[-1]
    factor = 1.0 if old == 0.0 else (space.lams[start] - last) / old
    inner = [space.index_near(last + factor * (lam - last)) for lam in lams[1:]]
    return _with_points(repair([start, *inner], space), genome, space)


def moved(genome: Genome, steps: Sequence[float] | np.ndarray, space: TimestepSpace) -> Genome:
    """Move each point by its step in lam, to the next index at least where the step is not 0."""
    pairs = zip(space.points(genome), steps, strict=True)
    points = repair([_moved_index(k, float(s), space) for k, s in pairs], space)
    return _with_points(points, genome, space)


def beside(genome: Genome, i: int, step: float, space: TimestepSpace) -> list[Genome]:
    """One gene moved: a point by a step in lam either way, a choice to the values beside."""
    if i < space.steps:
        steps = [[s * (i == j) for j in range(space.steps)] for s in (step, -step)]
        return [moved(genome, s, space) for s in steps]
    choices = neighbours(space.genes, space.choices(genome), i - space.steps)
    return [(*space.points(genome), *others) for others in choices]


MOVES: tuple[tuple[float, Move], ...] = (
    (0.55, jitter),
    (0.15, shift_and_stretch),
    (0.10, move_start),
    (0.10, insert_and_delete),
    (0.10, resample),
)
"""The mutation mixture: probability and move."""


def mutate(genome: Genome, space: TimestepSpace, rng: np.random.Generator, scale: float) -> Genome:
    """Apply one move of the mixture; `scale` is the jitter's standard deviation in lam.

    Where options are searched, many mutations change choices: with a move of the points, or alone.
    """
    if space.genes and rng.random() < OPTION_RATE:
        choices = changed(space.genes, space.choices(genome), rng)
        genome = (*space.points(genome), *choices)
        if rng.random() >= POINT_RATE:
            return genome
    weights = [weight for weight, _ in MOVES]
    move = MOVES[int(rng.choice(len(MOVES), p=weights))][1]
    return move(genome, space, rng, scale)


def _with_points(points: Points, genome: Genome, space: TimestepSpace) -> Genome:
    """New indices, the choices of a genome."""
    return (*points, *space.choices(genome))


def _crossed(
    a: Genome, b: Genome, from_a: Sequence[bool], space: TimestepSpace, rng: np.random.Generator
) -> Choices:
    """Choices of two parents; those of the first where mixed ones do not go together."""
    mixed = inherited(space.genes, space.choices(a), space.choices(b), from_a, rng)
    return mixed if space.allows(mixed) else space.choices(a)


def _random_choices(space: TimestepSpace, rng: np.random.Generator) -> Choices:
    """Uniform choices that go together and take the space's calls; else the start's."""
    for _ in range(OPTION_ATTEMPTS):
        drawn = random_choices(space.genes, rng)
        if space.allows(drawn):
            return drawn
    return start_choices(space.genes)


def _moved_index(k: int, step: float, space: TimestepSpace) -> int:
    """The index at `step` in lam from `k`; another one than `k`, if the range has one there."""
    target = space.index_near(space.lams[k] + step)
    if target == k and step != 0.0:
        target = k - 1 if step > 0.0 else k + 1
    return min(max(target, 0), space.size - 1)


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    """Uniform between two values of lam."""
    return low + (high - low) * float(rng.random())


def _halve_widest_gap(points: Sequence[int], space: TimestepSpace) -> list[int]:
    """Add the middle in lam of the widest gap; the clean end counts as a gap to index 0."""
    ends = [*points, 0] if points else [space.size - 1, 0]
    widths = [space.lams[b] - space.lams[a] for a, b in pairwise(ends)]
    widest = max(range(len(widths)), key=lambda i: (widths[i], -i))
    middle = (space.lams[ends[widest]] + space.lams[ends[widest + 1]]) / 2
    return [*points, space.index_near(middle)]
