"""Which schedules the search over architectures starts from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from search.strategy import Outcome
from space.architectures import Mode
from space.candidate import Candidate
from space.timesteps import Genome, TimestepSpace

APART = 0.6
"""How far, in lam, schedules are from one another at some step at least."""

RUNNERS_UP = 1
"""Of stage 1, beside its winner."""

LEAD_IN_LEVELS = (-1.0, -0.4)
"""Half log-SNR at the second step of lead-ins; from scores on `zoo:cifar10-16`, as the rest."""

LAST = 3.8
"""Half log-SNR at their last step at least: little of the noise is left."""

SHORT, LONG = 0.4, 1.8
"""First and second step of lead-ins, in lam."""


def bases_of(
    winner: Candidate, outcome: Outcome, space: TimestepSpace, *, mode: Mode
) -> tuple[Candidate, ...]:
    """The winner; where steps may differ lead-ins to it; then the best that is far from all these.

    A schedule that is a bit better with the full network may be much worse with a pruned one, and
    those near the winner are like it in this, too.

    Args:
        winner: Of stage 1.
        outcome: Of its search.
        space: Of its times.
        mode: Whether steps may have networks of their own.
    """
    bases = [winner]
    if mode != "shared":
        bases += [space.candidate(genome) for genome in lead_ins(space.genome(winner), space)]
    most = len(bases) + RUNNERS_UP
    for candidate in dict.fromkeys([*outcome.finalists, *outcome.ranked]):
        if len(bases) < most and _apart(candidate, bases, space) >= APART:
            bases.append(candidate)
    return tuple(dict.fromkeys(bases))


def lead_ins(genome: Genome, space: TimestepSpace) -> Iterator[Genome]:
    """A short step, a long one, and then even ones in lam, to where a genome ends or further.

    Made for a weaker network at the first step: a multistep solver extrapolates from it over the
    long second one, which guides images away from what the weaker network gets wrong. Only feasible
    ones, of three steps and more; choices are the genome's.

    Ref: Karras et al. 2024 (Guiding a diffusion model with a bad version of itself).
    """
    last = max(LAST, space.lams[space.points(genome)[-1]])
    for level in LEAD_IN_LEVELS:
        rest = np.linspace(level + LONG, last, space.steps - 2) if space.steps > 3 else [last]
        lams = [level - SHORT, level, *rest]
        lead_in = (*(space.index_near(float(lam)) for lam in lams), *space.choices(genome))
        if space.steps > 2 and space.holds(lead_in) and space.is_feasible(lead_in):
            yield lead_in


def _apart(candidate: Candidate, bases: Iterable[Candidate], space: TimestepSpace) -> float:
    """The distance in lam to the nearest base: the largest over the steps."""
    lams = _lams(space, space.genome(candidate))
    others = (_lams(space, space.genome(base)) for base in bases)
    return min(max(abs(a - b) for a, b in zip(lams, own, strict=True)) for own in others)


def _lams(space: TimestepSpace, genome: Genome) -> list[float]:
    return [space.lams[k] for k in space.points(genome)]
