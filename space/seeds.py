"""Where a search starts: named grids, lower starts of them, curves, the user's own times."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from fewstep.errors import InvalidInput
from fewstep.spacing import named_grids
from space.chains import ChainSpace
from space.choices import uniform_choices
from space.operators import restarted
from space.repair import repair
from space.timesteps import Genome, Points, TimestepSpace

START_SHARES = (0.85, 0.7, 0.55)
"""Lower starts, as shares of the noisiest index: good second-order schedules start near 0.65."""

NUM_CURVES = 18
CURVE_STARTS = (0.45, 1.0)
CURVE_POWERS = (0.7, 2.2)
CURVE_ENDS = (0.004, 0.12)
"""Ranges of the gamma curves: starts, ends (spread in log) as shares of the noisiest index."""


CHAIN_START_RATIOS = (1.0, 2.0, 0.5, 4.0)
"""Noise-to-signal ratios at which chains are first tried to start, likely ones first."""

_CURVE_RANGES = (
    CURVE_STARTS,
    CURVE_POWERS,
    (math.log(CURVE_ENDS[0]), math.log(CURVE_ENDS[1])),
)
# Powers of the inverse of the real root of x^4 = x + 1. Ref: Roberts 2018, "R3".
_KRONECKER = tuple(1.2207440846057596**-j for j in (1, 2, 3))


def grid_seeds(space: TimestepSpace) -> dict[str, Genome]:
    """Every named grid that the process has at this number of steps, by name."""
    grids = named_grids(space.process, space.steps)
    return {name: space.started(_points(times, space)) for name, times in grids.items()}


def restarts(
    grids: Mapping[str, Genome], space: TimestepSpace, shares: Sequence[float] = START_SHARES
) -> dict[str, Genome]:
    """Grids squeezed (in lam) to start at other noise levels: `name@index`.

    Below the noisiest level the unit-normal start state is not exactly the marginal; that this pays
    at few calls is why the start level is searched.
    """
    starts = [round(share * (space.size - 1)) for share in shares]
    return {
        f"{name}@{start}": restarted(genome, start, space)
        for name, genome in grids.items()
        for start in starts
    }


def curve_seeds(space: TimestepSpace, count: int = NUM_CURVES) -> dict[str, Genome]:
    """Gamma curves k = end + (start - end) (1 - i/(K-1))^power, spread over starts, powers, ends.

    An even spread over all three (a Kronecker sequence) shows a surrogate every direction, and any
    first part of it is spread too.
    """
    curves: dict[str, Genome] = {}
    for i in range(count):
        start, power, end = (
            low + (high - low) * ((0.5 + (i + 1) * step) % 1.0)
            for (low, high), step in zip(_CURVE_RANGES, _KRONECKER, strict=True)
        )
        first, last = round(start * (space.size - 1)), round(math.exp(end) * (space.size - 1))
        points = repair(gamma_curve(first, last, power, space.steps), space)
        curves[f"gamma-{power:.2f}@{first}..{last}"] = space.started(points)
    return curves


def starts(space: TimestepSpace) -> tuple[dict[str, Genome], dict[str, Genome]]:
    """What every search of a space tries first: named grids as they are, and other starts.

    Chains start near the data, so for them the named grids are all restarted there.
    """
    grids = grid_seeds(space)
    if not isinstance(space, ChainSpace):
        return grids, curve_seeds(space)
    indices = [space.index_near(-math.log(rho)) for rho in CHAIN_START_RATIOS]
    room = (space.steps - 1) * space.min_gap
    squeezed = {
        f"{name}@{k}": restarted(genome, max(k, space.points(genome)[-1] + room), space)
        for k in indices
        for name, genome in grids.items()
    }
    return {}, squeezed


def option_seeds(genomes: Mapping[str, Genome], space: TimestepSpace) -> dict[str, Genome]:
    """Genomes with searched options at one other value in all steps: `name+number`.

    A value that the first step may not have (it reuses what is not there yet) is left out there.
    """
    allowed = []
    for choices in uniform_choices(space.genes):
        later = tuple(
            gene.start if gene.step == 0 else place
            for gene, place in zip(space.genes, choices, strict=True)
        )
        allowed += [given for given in (choices, later) if space.allows(given)][:1]
    return {
        f"{name}+{number}": (*space.points(genome), *choices)
        for number, choices in enumerate(allowed)
        for name, genome in genomes.items()
    }


def gamma_curve(start: int, end: int, power: float, steps: int) -> list[int]:
    """K indices from `start` to `end`; `power` above 1 puts more of them at low noise."""
    if steps == 1:
        return [start]
    return [round(end + (start - end) * (1.0 - i / (steps - 1)) ** power) for i in range(steps)]


def user_seeds(space: TimestepSpace, initial_times: Sequence[Sequence[int]]) -> dict[str, Genome]:
    """The user's own index lists, checked, with the options a search starts from.

    Raises:
        InvalidInput: not strictly decreasing, wrong length or out of range; names the list.
    """
    for i, indices in enumerate(initial_times):
        if not space.holds(space.started(indices)):
            raise InvalidInput(
                f"initial_times[{i}]={list(indices)!r}: must be {space.steps} strictly decreasing "
                f"indices in 0..{space.size - 1}",
                field=f"initial_times[{i}]",
            )
    return named_user_seeds([space.started(indices) for indices in initial_times])


def named_user_seeds(genomes: Sequence[Genome]) -> dict[str, Genome]:
    """The user's start grids under the names that messages use."""
    return {f"initial_times[{i}]": genome for i, genome in enumerate(genomes)}


def paper_uniform_seed(space: TimestepSpace) -> Points:
    """The published uniform seed. Ref: AutoDiffusion's released scripts.

    First order: {0, c, 2c, ...} for the smallest stride c of at least 1 and below N that gives
    exactly K points. Other solvers: uniform in t from the noisiest time, the last of K+1 points
    being the clean end.

    Raises:
        InvalidInput: no stride gives exactly K points (K = 1, 37, 41, ... at N = 1000).
    """
    if space.solver != "ddim":
        top, count = space.size - 1, space.steps
        return repair([round(top * (1.0 - i / count)) for i in range(count)], space)
    for stride in range(1, space.size):
        if len(range(0, space.size, stride)) == space.steps:
            return repair(range(0, space.size, stride), space)
    raise InvalidInput(
        f"steps={space.steps}: the published uniform seed does not exist, no stride below "
        f"{space.size} gives exactly {space.steps} points; use strategy 'evolution' or 'random'",
        field="steps",
    )


def distinct(seeds: Iterable[dict[str, Genome]]) -> dict[str, Genome]:
    """All seeds in order, each genome once, under the first of its names."""
    found: dict[Genome, str] = {}
    for group in seeds:
        for name, genome in group.items():
            found.setdefault(genome, name)
    return {name: genome for genome, name in found.items()}


def _points(times: Sequence[float], space: TimestepSpace) -> Points:
    """A grid's indices, moved apart where they are nearer than the space's gap."""
    return repair([space.process.index_of(t) for t in times[:-1]], space)
