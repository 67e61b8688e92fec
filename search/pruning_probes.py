"""Probes: cuts of a few steps in a row, whose scores say which steps may be cut.

What errors at a step do to FID a survey cannot say: late ones often nothing, and a weaker network
before a long step may even help (`search.pruning_predictor`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from search.pruning_errors import place_errors, step_errors
from search.pruning_seeds import Factors, Path, alike, counted, greedy_way, losses
from space.architecture_limits import BoundedSpace
from space.architecture_seeds import greedy_path
from space.architectures import ArchitectureGenome as Genome
from space.architectures import ArchitectureSpace
from space.survey import Survey

DEPTH = 0.6
"""Of what its steps cost, a probe saves no more."""

APART = 1e12
"""How often errors at other steps count, so that nothing is cut there first."""


STRIDES = (4.0, 2.0, 1.4, 0.7)
"""How many times as much a weak step errs when it is tried deeper, or less deep."""


def probes(bounded: BoundedSpace, survey: Survey, count: int) -> list[Genome]:
    """All steps in so many runs, as equal as can be: of each the deepest cut of it alone.

    Steps are probed where they may differ; else there are none.

    Args:
        bounded: The limits.
        survey: What was measured.
        count: Of runs; as many as there are steps at most.
    """
    space = bounded.space
    count = min(count, space.steps)
    if space.max_configurations < 2 or count < 2:
        return []
    runs = [step * count // space.steps for step in range(space.steps)]
    found = [probe(bounded, survey, [run == own for run in runs]) for own in range(count)]
    return [genome for genome in found if genome is not None]


def first_probe(bounded: BoundedSpace, survey: Survey) -> Genome | None:
    """The first step alone cut; None where it may not differ."""
    steps = bounded.space.steps
    if bounded.space.max_configurations < 2 or steps < 2:
        return None
    return probe(bounded, survey, [step == 0 for step in range(steps)])


def probe(bounded: BoundedSpace, survey: Survey, is_cut: Sequence[bool]) -> Genome | None:
    """Greedy cuts at some steps alone, within the limits and `DEPTH`; None where none are so small.

    In mode "bands" a run between others is not one of two bands; it then has those behind it, too.
    """
    costs = bounded.costs
    path = _path_of(bounded, survey, is_cut)
    if not path:
        return None
    passes = zip(costs.passes, path[0].of_step, strict=True)
    own = path[0].of_step[is_cut.index(True)]
    most = DEPTH * sum(count for count, c in passes if c == own) / sum(costs.passes)
    within = _within(path, bounded, max(bounded.least, 1.0 - most))
    return within[-1] if within else None


def deeper(bounded: BoundedSpace, survey: Survey, genome: Genome) -> list[Genome]:
    """Where the weakest steps of a genome might be: greedy cuts of them alone that err otherwise.

    By each of `STRIDES` times as much, within the limits; the boldest first.
    """
    weak = weakest(bounded, survey, genome)
    path = _path_of(bounded, survey, weak)
    within = _within(path, bounded, bounded.least)
    errors = [_error(bounded, survey, other) for other in within]
    before = _error(bounded, survey, genome, weak)
    upto = [[error <= stride * before for error in errors].count(True) for stride in STRIDES]
    return list(dict.fromkeys(within[count - 1] for count in upto if count > 0))


def around(bounded: BoundedSpace, survey: Survey, genome: Genome, factors: Factors | None) -> Path:
    """Greedy cuts of all other steps, while the weakest ones of a genome stay as they are.

    The others have two configurations at most, of steps that lose alike.
    """
    space = bounded.space
    weak = weakest(bounded, survey, genome)
    kept = genome.widths[genome.of_step[weak.index(True)]]
    of_step = _apart_from(weak, bounded, survey, factors)
    if not space.holds(Genome((space.full_widths,) * (max(of_step) + 1), of_step)):
        return ()
    every = counted(place_errors(space, survey, of_step), space, factors)
    errors = [
        {
            name: [0.0 if place <= most else APART * e for place, e in enumerate(own[name])]
            for (name, most) in zip(own, kept, strict=True)
        }
        if is_weak
        else own
        for own, is_weak in zip(every, weak, strict=True)
    ]
    path = tuple(greedy_path(bounded, errors, of_step))
    weak_at = of_step[weak.index(True)]
    return tuple(g for g in path if g.widths[weak_at] == kept)


def weakest(bounded: BoundedSpace, survey: Survey, genome: Genome) -> list[bool]:
    """The steps that run the configuration that errs most in all by the survey."""
    errors = [math.fsum(row) for row in _errors(bounded, survey, genome)]
    totals = [
        math.fsum(e for e, own in zip(errors, genome.of_step, strict=True) if own == c)
        for c in range(len(genome.widths))
    ]
    worst = totals.index(max(totals))
    return [c == worst for c in genome.of_step]


def _apart_from(
    weak: Sequence[bool], bounded: BoundedSpace, survey: Survey, factors: Factors | None
) -> tuple[int, ...]:
    """A configuration of its own for weak steps; the others have theirs by what they lose."""
    space = bounded.space
    others = space.max_configurations - 1
    groups = [0] * space.steps
    if factors is not None and space.mode == "steps":
        groups = alike(losses(space, survey, factors), [not w for w in weak], others)
    labels = [-1 if w else group for w, group in zip(weak, groups, strict=True)]
    order = list(dict.fromkeys(labels))
    return tuple(order.index(label) for label in labels)


def _path_of(bounded: BoundedSpace, survey: Survey, is_cut: Sequence[bool]) -> Path:
    """From the full network to one with all cut at some steps, and then at the others."""
    space = bounded.space
    of_step = _two_configurations(space, is_cut)
    if of_step is None:
        return ()
    own = of_step[is_cut.index(True)]
    factors = [[1.0 if c == own else APART] * len(space.blocks) for c in of_step]
    path = greedy_way(bounded, survey, of_step, factors)
    return tuple(g for g in path if not any(g.widths[1 - own]))


def _two_configurations(space: ArchitectureSpace, is_cut: Sequence[bool]) -> tuple[int, ...] | None:
    """0 and 1 by first use; in mode "bands" with one border; None where all steps are the same."""
    if space.mode == "bands" and not is_cut[0]:
        first = is_cut.index(True)
        is_cut = [step >= first for step in range(len(is_cut))]
    return tuple(int(cut != is_cut[0]) for cut in is_cut) if len(set(is_cut)) > 1 else None


def _within(path: Path, bounded: BoundedSpace, least: float) -> list[Genome]:
    """Cuts of a path down to a share."""
    return [genome for genome in path[1:] if bounded.costs.share(genome) >= least]


def _error(
    bounded: BoundedSpace, survey: Survey, genome: Genome, steps: Sequence[bool] | None = None
) -> float:
    """By the survey, in sum over some steps."""
    rows = _errors(bounded, survey, genome)
    return math.fsum(
        math.fsum(row)
        for row, is_own in zip(rows, steps or [True] * len(rows), strict=True)
        if is_own
    )


def _errors(bounded: BoundedSpace, survey: Survey, genome: Genome) -> tuple[tuple[float, ...], ...]:
    architecture = bounded.space.decode(genome, survey.rankings)
    return step_errors(architecture, bounded.space, survey)
