"""The published second stage: each step has indices of time and layers that it leaves out.

Ref: Li et al. 2023 (AutoDiffusion), as released. Layers are residual and attention bodies by their
number in execution order, and the budget is how many run in all.

Errors of the released code that are not kept:
- Genomes were unsorted and layers looked up by a step's rank: here they belong to their step.
- Once a step skipped layers, mutation never changed them: here it exchanges them.
- Crossover took contents for lengths and did not look at the budget again: here the longer
  parent's tail follows, and the budget holds.
- Of equal indices after crossover all but one vanished, and lists behind them moved up: here the
  others go to the nearest free index with their layers.
- The ramp added floats up: here it counts whole fifths.
One limit is new:
- At most `MAX_CONFIGURATIONS` sets of layers differ: more networks than that are never built.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from fewstep.errors import InvalidInput
from fewstep.networks.pruning.architecture import MAX_CONFIGURATIONS, Architecture
from fewstep.networks.pruning.blocks import PrunableBlock
from fewstep.networks.pruning.configuration import BlockChoice, NetworkConfiguration
from fewstep.process import VPDiscrete
from space.architecture_limits import INCREMENTS
from space.repair import moved_apart

Skips: TypeAlias = "tuple[int, ...]"
"""Numbers of layers that a step leaves out, ascending."""

SkipGenome: TypeAlias = "tuple[tuple[int, Skips], ...]"
"""Index and layers left out of every step, from noise to data."""

LAST_PATIENT_GENERATION = 4
"""After it layers may be skipped though times still improve."""

LAST_FREE_GENERATION = 5
"""After it the least skip fraction holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipRamp:
    """The interval that the fraction of layers left out is drawn from; at first nothing is.

    Attributes:
        max_fraction: Where the upper end goes; the published script has 0.1.
        min_fraction: Where the lower end goes.
        fifths: How many fifths of `max_fraction` the upper end has reached.
        is_raised: Whether the lower end has been reached.

    Raises:
        InvalidInput: not 0 <= min_fraction <= max_fraction <= 1.
    """

    max_fraction: float = 0.1
    min_fraction: float = 0.0
    fifths: int = 0
    is_raised: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.min_fraction <= self.max_fraction <= 1.0:
            raise InvalidInput(
                f"min_fraction={self.min_fraction}, max_fraction={self.max_fraction}: allowed: "
                "0 <= min_fraction <= max_fraction <= 1",
                field="max_fraction",
            )

    @property
    def high(self) -> float:
        """Upper end."""
        return self.max_fraction * self.fifths / INCREMENTS

    @property
    def low(self) -> float:
        """Lower end; not above the upper one while that rises."""
        return min(self.min_fraction, self.high) if self.is_raised else 0.0

    def advanced(self, generation: int, *, has_improved: bool) -> SkipRamp:
        """The ramp after a generation, the first being 0."""
        is_started = self.fifths or not has_improved or generation > LAST_PATIENT_GENERATION
        return SkipRamp(
            max_fraction=self.max_fraction,
            min_fraction=self.min_fraction,
            fifths=min(self.fifths + 1, INCREMENTS) if is_started else 0,
            is_raised=self.is_raised or generation > LAST_FREE_GENERATION,
        )


@dataclass(frozen=True, slots=True)
class LayerSkipSpace:
    """All candidates within a budget of layers.

    Attributes:
        process: The discrete process whose indices steps have.
        blocks: The layers, in execution order; every body may go.
        max_layers: N_max, how many layers run in all steps together; the published script has that
            of ten full steps.

    Raises:
        InvalidInput: the budget holds no full step, or a body may not go.
    """

    process: VPDiscrete
    blocks: tuple[PrunableBlock, ...]
    max_layers: int

    def __post_init__(self) -> None:
        fixed = [block.name for block in self.blocks if not block.can_be_removed]
        if fixed or not self.blocks:
            raise InvalidInput(
                f"blocks={fixed!r}: their bodies may not go; allowed: blocks that can be removed",
                field="blocks",
            )
        if self.max_layers < len(self.blocks):
            raise InvalidInput(
                f"max_layers={self.max_layers}: allowed: at least one full step, {self.num_layers}",
                field="max_layers",
            )

    @property
    def num_layers(self) -> int:
        """Layers of a full step."""
        return len(self.blocks)

    @property
    def size(self) -> int:
        """Indices of the process."""
        return self.process.num_train_timesteps

    def layers(self, genome: SkipGenome) -> int:
        """How many layers run in all steps together."""
        return sum(self.num_layers - len(skips) for _, skips in genome)

    def holds(self, genome: SkipGenome) -> bool:
        """Whether a genome is a member."""
        indices = [k for k, _ in genome]
        layers = [skips for _, skips in genome]
        return (
            bool(genome)
            and indices == sorted(set(indices), reverse=True)
            and 0 <= indices[-1] <= indices[0] < self.size
            and all(list(skips) == sorted(set(skips)) for skips in layers)
            and all(0 <= i < self.num_layers for skips in layers for i in skips)
            and self.layers(genome) <= self.max_layers
            and len(set(layers)) <= MAX_CONFIGURATIONS
        )

    def schedule(self, genome: SkipGenome) -> tuple[tuple[float, ...], Architecture]:
        """Process times with the clean end, and which bodies each step leaves out.

        Raises:
            InvalidInput: not a member.
        """
        if not self.holds(genome):
            raise InvalidInput(
                f"genome={genome!r}: allowed: distinct indices below {self.size} from noise to "
                f"data, at most {self.max_layers} layers in all, at most {MAX_CONFIGURATIONS} "
                "sets of layers left out",
                field="genome",
            )
        times = (*(self.process.time_of(k) for k, _ in genome), 0.0)
        removed = BlockChoice("removed")
        configurations = [
            NetworkConfiguration.of({self.blocks[i].name: removed for i in skips})
            for _, skips in genome
        ]
        return times, Architecture.of_steps(configurations)


def full_genome(indices: Sequence[int]) -> SkipGenome:
    """Steps that run every layer, as all of the first population do."""
    return tuple((k, ()) for k in sorted(indices, reverse=True))


def random_candidate(space: LayerSkipSpace, ramp: SkipRamp, rng: np.random.Generator) -> SkipGenome:
    """Distinct indices, each with a random part of the layers left out, as long as any fit.

    What is left out makes room: there may be more steps than the budget has full ones. The fraction
    is drawn from what fits, which is how the published redrawing until it does comes out.
    """
    most = math.floor(space.num_layers * ramp.high)
    drawn: list[tuple[int, Skips]] = []
    room = space.max_layers
    for k in rng.permutation(space.size).tolist():
        needed = max(0, space.num_layers - room)
        if needed > most:
            break
        skips = _random_skips(space, ramp, rng, at_least=needed)
        drawn.append((k, skips))
        room -= space.num_layers - len(skips)
    return _member(drawn, space, rng)


def mutate(
    genome: SkipGenome, space: LayerSkipSpace, ramp: SkipRamp, rng: np.random.Generator, rate: float
) -> SkipGenome:
    """Change indices and layers, each with probability `rate`.

    An index becomes one that no step has, and keeps its layers. A full step leaves out new ones; of
    others each layer left out is exchanged for one that runs.
    """
    changed: list[tuple[int, Skips]] = []
    taken = {k for k, _ in genome}
    for k, skips in genome:
        if rng.random() < rate and len(taken) < space.size:
            free = sorted(set(range(space.size)) - taken)
            k = free[int(rng.integers(len(free)))]
            taken.add(k)
        changed.append((k, _changed_skips(skips, space, ramp, rng, rate)))
    return _member(changed, space, rng)


def crossover(
    a: SkipGenome, b: SkipGenome, space: LayerSkipSpace, rng: np.random.Generator
) -> SkipGenome:
    """Each position's index and layers from one parent or the other, then the longer one's tail."""
    longer = max(a, b, key=len)
    common = min(len(a), len(b))
    from_a = rng.random(common) < 0.5
    pairs = zip(a[:common], b[:common], from_a, strict=True)
    return _member([*(x if keep else y for x, y, keep in pairs), *longer[common:]], space, rng)


def _member(
    steps: Sequence[tuple[int, Skips]], space: LayerSkipSpace, rng: np.random.Generator
) -> SkipGenome:
    """The member nearest to steps in any order: within budget, indices distinct, few networks.

    Random steps are dropped while more layers run than may.
    """
    kept = list(steps)
    while len(kept) > 1 and space.layers(tuple(kept)) > space.max_layers:
        kept.pop(int(rng.integers(len(kept))))
    ordered = sorted(kept, key=lambda step: -step[0])
    indices = moved_apart([k for k, _ in ordered], size=space.size, gap=1)
    alike = _few_sets([skips for _, skips in ordered])
    return tuple(zip(indices, alike, strict=True))


def _few_sets(layers: Sequence[Skips]) -> list[Skips]:
    """At most as many sets as there may be networks; none is replaced by a smaller one.

    Full steps stay full. The largest set stays too, so there always is one to replace others.
    """
    found = list(layers)
    while len(kinds := sorted(set(found), key=found.index)) > MAX_CONFIGURATIONS:
        largest = max(kinds, key=len)
        loser = min((s for s in kinds if s and s != largest), key=lambda s: (found.count(s), s))
        heir = min(
            (s for s in kinds if s != loser and len(s) >= len(loser)),
            key=lambda s: (len(set(s) ^ set(loser)), s),
        )
        found = [heir if s == loser else s for s in found]
    return found


def _random_skips(
    space: LayerSkipSpace, ramp: SkipRamp, rng: np.random.Generator, *, at_least: int = 0
) -> Skips:
    """As many random layers as a random fraction says, rounded down."""
    low = max(ramp.low, min(at_least / space.num_layers, ramp.high))
    fraction = low + (ramp.high - low) * float(rng.random())
    count = max(at_least, math.floor(space.num_layers * fraction))
    return tuple(sorted(rng.choice(space.num_layers, size=count, replace=False).tolist()))


def _changed_skips(
    skips: Skips, space: LayerSkipSpace, ramp: SkipRamp, rng: np.random.Generator, rate: float
) -> Skips:
    if not skips:
        return _random_skips(space, ramp, rng) if rng.random() < rate else ()
    left_out = set(skips)
    for layer in skips:
        running = sorted(set(range(space.num_layers)) - left_out)
        if running and rng.random() < rate:
            left_out.remove(layer)
            left_out.add(running[int(rng.integers(len(running)))])
    return tuple(sorted(left_out))
