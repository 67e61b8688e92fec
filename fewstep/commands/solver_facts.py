"""What the registry says about solvers: plain values, and the page `docs/solvers.md`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

from fewstep.price import calls_by_kind
from fewstep.solvers import ALIASES, SOLVERS, Solver, canonical_name
from fewstep.solvers.options import OptionSpec, option_specs

_STEPS = 10  # of the grid that calls are told for
COLUMNS = (
    "solver",
    "other names",
    "order",
    "calls a step",
    "predictions",
    f"calls of {_STEPS} steps",
    "notes",
)
OPTION_COLUMNS = ("option", "default", "allowed", "per step", "searchable", "what it does")
_INTRODUCTION = f"""\
# Solvers

Written by `fewstep solvers --markdown > docs/solvers.md`; `fewstep solvers NAME` shows one of them.

Order is that of convergence on smooth grids with default options. Predictions are what a step at
full order combines; no grid has fewer steps. Calls are of one image, on {_STEPS} steps that end
clean, by kind: denoised predictions, or base predictions and the gradients of guidance apart. Other
names mean the same method.

Options are given by `--option NAME=VALUE`. One that is per step takes one value for all steps, or a
list with one for each. Searchable values are those that a search chooses from, if it is asked to
(`fewstep submit --search-option NAME`).
"""


def solver_facts(name: str) -> dict[str, Any]:
    """Everything about one solver, by its own name or another; plain JSON values.

    Raises:
        UnknownName: no such solver.
    """
    solver = SOLVERS.get(canonical_name(name))
    return {
        "name": solver.name,
        "aliases": _aliases(solver.name),
        "summary": _summary(solver),
        "order": solver.order,
        "calls_per_step": solver.calls_per_step,
        "memory": solver.memory,
        "is_stochastic": solver.is_stochastic,
        "is_split": solver.is_split,
        "handles_clean": solver.handles_clean,
        f"calls_of_{_STEPS}_steps": dict(calls_by_kind(solver.name, _STEPS)),
        "options": {key: _plain(spec) for key, spec in option_specs(solver.options).items()},
    }


def solver_rows(names: Iterable[str]) -> list[list[str]]:
    """One row per solver, under `COLUMNS`."""
    return [_row(SOLVERS.get(name)) for name in names]


def option_rows(solvers: Sequence[Solver]) -> list[list[str]]:
    """One row per option, under `OPTION_COLUMNS`; where the solvers differ, each in turn."""
    specs: dict[str, list[OptionSpec]] = {}
    for solver in solvers:
        for name, spec in option_specs(solver.options).items():
            specs.setdefault(name, []).append(spec)
    return [
        [
            name,
            _each(found, lambda spec: _shown(spec.default)),
            _each(found, lambda spec: spec.allowed),
            _each(found, lambda spec: "yes" if spec.per_step else "no"),
            _each(found, lambda spec: ", ".join(_shown(gene) for gene in spec.genes) or "no"),
            _each(found, lambda spec: spec.help),
        ]
        for name, found in specs.items()
    ]


def markdown() -> str:
    """The page about all solvers: one table, and for each family its options."""
    parts = [_INTRODUCTION, _table(COLUMNS, solver_rows(SOLVERS.names()))]
    for family in _families():
        first, names = family[0], ", ".join(f"`{solver.name}`" for solver in family)
        parts.append(f"## {names}\n\n{_summary(first)}\n")
        rows = option_rows(family)
        parts.append(_table(OPTION_COLUMNS, rows) if rows else "No options.\n")
    return "\n".join(parts)


def _families() -> list[list[Solver]]:
    """Solvers that one function makes, in the order of their first names."""
    families: dict[object, list[Solver]] = {}
    for name in SOLVERS.names():
        families.setdefault(SOLVERS.get(name).function, []).append(SOLVERS.get(name))
    return list(families.values())


def _row(solver: Solver) -> list[str]:
    calls = calls_by_kind(solver.name, _STEPS)
    notes = ("stochastic", solver.is_stochastic), ("splits guidance", solver.is_split)
    return [
        solver.name,
        ", ".join(_aliases(solver.name)),
        str(solver.order),
        str(solver.calls_per_step),
        str(solver.memory),
        ", ".join(f"{count} {kind}" for kind, count in calls.items()),
        ", ".join(note for note, applies in notes if applies),
    ]


def _aliases(name: str) -> list[str]:
    return sorted(alias for alias, target in ALIASES.items() if target == name)


def _summary(solver: Solver) -> str:
    """The first paragraph of its docstring, on one line."""
    text = (getattr(solver.function, "__doc__", None) or "").strip()
    return " ".join(text.partition("\n\n")[0].split())


def _plain(spec: OptionSpec) -> dict[str, Any]:
    """A declared option as JSON has it: no limits where there are choices."""
    known = {key: value for key, value in asdict(spec).items() if key not in ("low", "high")}
    is_number = spec.choices is None and not isinstance(spec.default, bool | str)
    return known | {"allowed": spec.allowed} | (_limits(spec) if is_number else {})


def _limits(spec: OptionSpec) -> dict[str, float]:
    return {"low": spec.low, "high": spec.high}


def _each(specs: Sequence[OptionSpec], show: Callable[[OptionSpec], str]) -> str:
    """What each solver has there, once if it is the same."""
    return " / ".join(dict.fromkeys(show(spec) for spec in specs))


def _shown(value: object) -> str:
    """As `--option` takes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
