"""The part of a genome that chooses solver options: one position for each choice to be made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from fewstep.solvers import Solver
from fewstep.solvers.options import OptionSpec, OptionValue, Scalar, option_specs

Choices: TypeAlias = "tuple[int, ...]"
"""Positions in the values of each gene."""

FLIP_RATE = 0.25
"""Probability per gene of being chosen anew, at least one of them."""

NEIGHBOUR_RATE = 0.5
"""How often a numeric gene goes to the next value instead of any."""

SWAP_RATE = 0.3
"""How often two steps exchange their values of one option instead: their sum stays."""

SPREAD = 1.0
"""Distance between the ends of a gene's values, beside points that are counted in lam."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gene:
    """One choice.

    Attributes:
        option: Name of the solver's option.
        step: Which step's value it is; None for options with one value.
        values: What may be chosen; numbers ascend.
        start: Position of the option's default among them, or 0.
    """

    option: str
    step: int | None
    values: tuple[Scalar, ...]
    start: int

    @property
    def is_ordered(self) -> bool:
        """Whether neighbouring values are alike."""
        return not isinstance(self.values[0], str | bool)


def genes_of(solver: Solver, searched: Iterable[str], steps: int) -> tuple[Gene, ...]:
    """The choices that searched options leave open on a grid of `steps` steps.

    The step to the clean level that `trace` takes has no options, so no choice is made for it.
    """
    specs = option_specs(solver.options)
    used = range(steps if solver.handles_clean else steps - 1)
    return tuple(
        _gene(name, specs[name], step)
        for name in searched
        for step in (used if specs[name].per_step else [None])
    )


def option_values(
    genes: Sequence[Gene], choices: Choices, solver: Solver, steps: int
) -> dict[str, OptionValue]:
    """The chosen options; steps without a choice have the default."""
    specs = option_specs(solver.options)
    lists: dict[str, list[Scalar]] = {}
    found: dict[str, OptionValue] = {}
    for gene, place in zip(genes, choices, strict=True):
        if gene.step is None:
            found[gene.option] = gene.values[place]
        else:
            values = lists.setdefault(gene.option, [specs[gene.option].default] * steps)
            values[gene.step] = gene.values[place]
    return found | {name: tuple(values) for name, values in lists.items()}


def choices_of(
    genes: Sequence[Gene], options: Mapping[str, OptionValue], solver: Solver
) -> Choices:
    """The inverse of `option_values`, for options of which defaults may be missing."""
    specs = option_specs(solver.options)

    def value(gene: Gene) -> Scalar:
        given = options.get(gene.option, specs[gene.option].default)
        if isinstance(given, tuple):
            assert gene.step is not None, "only options of each step are lists"
            return given[gene.step]
        return given

    return tuple(gene.values.index(value(gene)) for gene in genes)


def start_choices(genes: Sequence[Gene]) -> Choices:
    """Where a search starts: the defaults, as far as they may be chosen."""
    return tuple(gene.start for gene in genes)


def uniform_choices(genes: Sequence[Gene]) -> list[Choices]:
    """One option at a time moved off its start, to the same value in every step."""
    start, found = start_choices(genes), []
    for option in dict.fromkeys(gene.option for gene in genes):
        own = [i for i, gene in enumerate(genes) if gene.option == option]
        for place in range(len(genes[own[0]].values)):
            changed = tuple(place if i in own else start[i] for i in range(len(genes)))
            if changed != start:
                found.append(changed)
    return found


def random_choices(genes: Sequence[Gene], rng: np.random.Generator) -> Choices:
    """Every choice uniform over its values."""
    return tuple(int(rng.integers(len(gene.values))) for gene in genes)


def inherited(
    genes: Sequence[Gene],
    a: Choices,
    b: Choices,
    from_a: Sequence[bool],
    rng: np.random.Generator,
) -> Choices:
    """A step's choices come from the parent that its point comes from, others from either."""
    return tuple(
        x if (rng.random() < 0.5 if gene.step is None else from_a[gene.step]) else y
        for gene, x, y in zip(genes, a, b, strict=True)
    )


def changed(genes: Sequence[Gene], choices: Choices, rng: np.random.Generator) -> Choices:
    """Choose some anew, at least one; or let two steps exchange their values of an option."""
    if rng.random() < SWAP_RATE and (swapped := _swapped(genes, choices, rng)) != choices:
        return swapped
    hit = rng.random(len(genes)) < FLIP_RATE
    hit[int(rng.integers(len(genes)))] = True
    return tuple(
        _other(gene, place, rng) if h else place
        for gene, place, h in zip(genes, choices, hit, strict=True)
    )


def neighbours(genes: Sequence[Gene], choices: Choices, position: int) -> list[Choices]:
    """The choices that differ at one position: the values next to it, or all where unordered."""
    gene, place = genes[position], choices[position]
    others = [i for i in range(len(gene.values)) if i != place]
    if gene.is_ordered:
        others = [i for i in others if abs(i - place) == 1]
    return [(*choices[:position], i, *choices[position + 1 :]) for i in others]


def coordinates(genes: Sequence[Gene], choices: Choices) -> list[float]:
    """Where choices lie for a distance: ordered values on a line, others on axes of their own."""
    found: list[float] = []
    for gene, place in zip(genes, choices, strict=True):
        count = len(gene.values)
        if gene.is_ordered:
            found.append(SPREAD * place / max(1, count - 1))
        else:
            found += [SPREAD * (place == i) for i in range(count)]
    return found


def _gene(name: str, spec: OptionSpec, step: int | None) -> Gene:
    values = spec.genes if isinstance(spec.genes[0], str) else tuple(sorted(spec.genes))
    start = values.index(spec.default) if spec.default in values else 0
    return Gene(option=name, step=step, values=values, start=start)


def _other(gene: Gene, place: int, rng: np.random.Generator) -> int:
    """Another value of a gene; the same where there is no other."""
    count = len(gene.values)
    if count == 1:
        return place
    if gene.is_ordered and rng.random() < NEIGHBOUR_RATE:
        step = 1 if rng.random() < 0.5 else -1
        return place + step if 0 <= place + step < count else place - step
    return (place + 1 + int(rng.integers(count - 1))) % count


def _swapped(genes: Sequence[Gene], choices: Choices, rng: np.random.Generator) -> Choices:
    """Two genes of one option that differ exchange their values; nothing where none differ."""
    pairs = [
        (i, j)
        for i, first in enumerate(genes)
        for j in range(i + 1, len(genes))
        if first.option == genes[j].option and choices[i] != choices[j]
    ]
    if not pairs:
        return choices
    i, j = pairs[int(rng.integers(len(pairs)))]
    swapped = list(choices)
    swapped[i], swapped[j] = swapped[j], swapped[i]
    return tuple(swapped)
