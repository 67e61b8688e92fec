"""Seconds instead of multiply-adds: what to measure, and the costs that follow from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

from fewstep.errors import InvalidInput
from fewstep.networks.pruning.configuration import BlockChoice, NetworkConfiguration
from space.architecture_cost import GenomeCosts, check_passes
from space.architecture_ladders import Ladder
from space.architectures import ArchitectureSpace

FULL = NetworkConfiguration()

LEAST_FIXED = 0.01
"""Of the full network's time, at least what is left when all savings are added up."""


def configurations_to_measure(space: ArchitectureSpace) -> list[NetworkConfiguration]:
    """The full network, then each block alone at each other place of its ladder, each once.

    Which units stay does not change the time, so the first ones do: the same configurations come of
    every search over a network, and what was measured for one is at hand for the next.
    """
    cuts = (_alone(ladder, p) for ladder in space.ladders for p in range(1, ladder.size))
    return list(dict.fromkeys([FULL, *cuts]))


def costs_of_seconds(
    space: ArchitectureSpace,
    seconds: Mapping[NetworkConfiguration, float],
    passes: Sequence[int],
) -> GenomeCosts:
    """Costs in seconds, additive over blocks, from what one pass of each configuration takes.

    A block's saving at a place is the difference to the full network, whose own time is kept. A
    time that grows down a ladder is noise: such ones are averaged (the nearest times that fall, by
    least squares), and none is longer than the full network's. Where all savings together leave
    less than a hundredth of the full time, they are scaled to that.

    Args:
        space: whose ladders.
        seconds: of one image of one pass, for all of `configurations_to_measure`.
        passes: network passes at each step.

    Raises:
        InvalidInput: a configuration was not measured, or its time is no positive number; or
            passes are no counts of the steps.
    """
    check_passes(space, passes)
    for configuration in configurations_to_measure(space):
        if not seconds.get(configuration, 0.0) > 0.0:
            raise InvalidInput(
                f"seconds: {seconds.get(configuration)!r} for {configuration.to_dict()}; allowed: "
                "a positive number for each configuration to measure",
                field="seconds",
            )
    full = seconds[FULL]
    savings = [_savings(ladder, seconds) for ladder in space.ladders]
    total = sum(row[-1] for row in savings)
    factor = min(1.0, (1.0 - LEAST_FIXED) * full / total) if total else 1.0
    of_place = tuple(tuple(factor * (row[-1] - saved) for saved in row) for row in savings)
    return GenomeCosts(full - factor * total, of_place, tuple(passes))


def _savings(ladder: Ladder, seconds: Mapping[NetworkConfiguration, float]) -> list[float]:
    """What each place saves, nothing at the first, never less than the one above it."""
    full = seconds[FULL]
    times = [seconds[_alone(ladder, place)] for place in range(1, ladder.size)]
    return [0.0, *(max(full - time, 0.0) for time in falling(times))]


def falling(values: Sequence[float]) -> list[float]:
    """The nearest sequence that never grows, by least squares: neighbours that grow are pooled."""
    pools: list[tuple[float, int]] = []
    for value in values:
        pools.append((value, 1))
        while len(pools) > 1 and pools[-2][0] < pools[-1][0]:
            (b, m), (a, n) = pools.pop(), pools.pop()
            pools.append(((a * n + b * m) / (n + m), n + m))
    means = [mean for mean, count in pools for _ in range(count)]
    return list(accumulate(means, min))  # rounding of a mean must not grow either


def _alone(ladder: Ladder, place: int) -> NetworkConfiguration:
    """One block at a place below the full one; a reused body takes the time of a removed one."""
    name, order = ladder.block.name, range(ladder.block.units)
    choice = ladder.choice(place, order) if ladder.has_body(place) else BlockChoice("removed")
    return NetworkConfiguration.of({name: choice})
