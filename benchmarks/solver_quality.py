"""Every solver at few and many calls, on its best closed-form grid and on the default one.

    python -m benchmarks.solver_quality --teacher --out benchmarks/results/solvers-digits.json

The best grid of a solver and a number of calls is chosen on one noise bank and reported on another:
all grids with few images, then the best of them with more. Between the numbers of calls at which
all grids are tried, only those that were best at either are; above, the one that was best at the
last of them. A solver that cannot spend exactly the calls of a column spends the most it can below;
what it spent stands beside it. Every measurement is stored as it is made, and a run that is started
again goes on from there.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.image_batches import ImageBatches
from benchmarks.machine import machine
from benchmarks.solver_quality_table import markdown
from evaluators.banks import Bank
from evaluators.tasks import make_task
from fewstep.errors import InvalidInput
from fewstep.process import VPDiscrete
from fewstep.program import MAX_CONDITION, Program, trace
from fewstep.solvers import SOLVERS
from fewstep.spacing import grid, named_grids

CALLS = (4, 6, 10, 5, 8, 15, 20, 50)  # in the order in which they are measured
DEFAULT_GRID = "leading"
TEACHER = ("ddim", 1000)
NUM_FINAL = 3
SCREENED_CALLS = (4, 6, 10)  # all grids are tried here; elsewhere those best at the nearest below
NUM_KEPT = 3

# Named settings beside each solver's defaults: recursive against finite differences, and so on.
_PHI_RULES: dict[str, tuple[str, dict[str, object]]] = {
    f"{solver} ({rule})": (solver, {"phi_rule": rule})
    for solver in ("scire-2", "scire-3", "scire-2m", "scire-3m")
    for rule in ("m3", "limit", "ramp")
    if rule != "ramp" or not solver.endswith("m")
}
VARIANTS: dict[str, tuple[str, dict[str, object]]] = _PHI_RULES | {
    "scirei-2 (m3)": ("scirei-2", {"phi_rule": "m3"}),
    "scire-3 (heun3)": ("scire-3", {"inner": "heun3"}),
    "scire-3m (version 2)": ("scire-3m", {"version": 2}),
    "ipndm4 (variable)": ("ipndm4", {"weights": "variable"}),
    "dpm-solver++-3m (exact)": ("dpm-solver++-3m", {"curvature": "exact"}),
    "unipc-2 (no corrector)": ("unipc-2", {"corrector": False}),
    "deis-tab3 (riemann10000)": ("deis-tab3", {"quadrature": "riemann10000"}),
}


# Above the last screened number of calls, where all come close, these stand for the variants.
SHOWN_VARIANTS = tuple(name for name in VARIANTS if name.endswith("(m3)"))


@dataclass(frozen=True, slots=True)
class Row:
    """A solver with fixed options, as the table calls it."""

    name: str
    solver: str
    options: dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Images per measurement.

    Attributes:
        screen: All grids are tried with so many.
        final: The best of them with so many.
        report: What the table shows is of so many.
    """

    screen: int = 64
    final: int = 128
    report: int = 512


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    options = _parser().parse_args(arguments)
    task = make_task(options.model)
    store = _Store(options.out, {"model": options.model, "weights_sha256": task.weights_sha256})
    with ImageBatches(task, slots=options.slots) as batches:
        counts = Counts(
            screen=options.screen_images, final=options.final_images, report=options.images
        )
        study = _Study(batches, store, counts)
        for calls in options.calls:
            for row in rows(options.only):
                study.measure(row, calls)
        if options.teacher:
            study.measure_teacher()
    print(markdown(store.document))
    return 0


def rows(only: Sequence[str]) -> Iterator[Row]:
    """Every registered solver that needs no guidance, then the named variants."""
    for name in SOLVERS.names():
        if not SOLVERS.get(name).is_split and (not only or name in only):
            yield Row(name, name, {})
    for name, (solver, options) in VARIANTS.items():
        if not only or name in only:
            yield Row(name, solver, options)


class _Study:
    """Measures what the store does not hold yet."""

    def __init__(self, batches: ImageBatches, store: _Store, counts: Counts) -> None:
        self._batches = batches
        self._store = store
        self._counts = counts
        if not isinstance(batches.process, VPDiscrete):
            raise InvalidInput("model: the grids here are those of a discrete process")
        self._process = batches.process

    def measure(self, row: Row, calls: int) -> None:
        """Choose the best grid of a cell, report it and the default one."""
        if row.name in VARIANTS and calls > SCREENED_CALLS[-1] and row.name not in SHOWN_VARIANTS:
            return
        steps = most_steps(row, calls)
        if steps is None or self._store.copied(row.name, calls, _same_steps(row, calls)):
            return
        programs = self._programs(row, steps)
        if calls not in SCREENED_CALLS:
            programs = self._kept(row, calls, programs)
        if programs:
            self._report(row, calls, "best", self._best(row, calls, programs), programs)
        default = self._programs(row, steps, only=DEFAULT_GRID)
        if default:
            self._report(row, calls, "default", DEFAULT_GRID, default)

    def measure_teacher(self) -> None:
        """The full-step sampler, on every training index."""
        solver, calls = TEACHER
        row = Row(f"teacher ({solver})", solver, {})
        times = grid(DEFAULT_GRID, self._process, calls)
        program = trace(times, process=self._process, solver=solver)
        self._report(row, calls, "default", DEFAULT_GRID, {DEFAULT_GRID: program})

    def _programs(self, row: Row, steps: int, only: str | None = None) -> dict[str, Program]:
        """The feasible programs of a row, by grid; grids of equal times under their first name."""
        found: dict[str, Program] = {}
        seen: set[tuple[float, ...]] = set()
        for name, times in named_grids(self._process, steps).items():
            if times in seen or (only is not None and name != only):
                continue
            seen.add(times)
            try:
                program = trace(
                    times, process=self._process, solver=row.solver, options=row.options
                )
            except InvalidInput:
                continue  # the method has no such grid
            if program.condition <= MAX_CONDITION:
                found[name] = program
        return found

    def _kept(self, row: Row, calls: int, programs: dict[str, Program]) -> dict[str, Program]:
        """The programs of the grids that were best at the numbers of calls around, or below."""
        below = max((n for n in SCREENED_CALLS if n < calls), default=SCREENED_CALLS[0])
        above = min((n for n in SCREENED_CALLS if n > calls), default=None)
        if above is None:
            best = self._store.grid(row.name, below)
            return {best: programs[best]} if best in programs else {}
        kept: set[str] = set()
        for screened in (below, above):
            scores = self._store.scores(row.name, screened, self._counts.screen)
            kept |= set(sorted((g for g in scores if g in programs), key=scores.get)[:NUM_KEPT])  # type: ignore[arg-type]
        return {name: programs[name] for name in programs if name in kept} or programs

    def _best(self, row: Row, calls: int, programs: dict[str, Program]) -> str:
        """The grid with the lowest distance on the search bank."""
        if len(programs) == 1:
            return next(iter(programs))
        screened = self._scores(row, calls, programs, self._counts.screen)
        names = sorted(programs, key=lambda name: screened[name])[:NUM_FINAL]
        kept = {name: programs[name] for name in names}
        final = self._scores(row, calls, kept, self._counts.final)
        return min(names, key=lambda name: final[name])

    def _scores(
        self, row: Row, calls: int, programs: dict[str, Program], num_samples: int
    ) -> dict[str, float]:
        known = self._store.scores(row.name, calls, num_samples)
        missing = [name for name in programs if name not in known]
        if missing:
            fids = self._batches.fids(
                [programs[name] for name in missing], Bank("search"), num_samples
            )
            known = known | dict(zip(missing, fids, strict=True))
            self._store.put_scores(row.name, calls, num_samples, known)
        return known

    def _report(
        self, row: Row, calls: int, which: str, name: str, programs: dict[str, Program]
    ) -> None:
        """Measure one program on the report bank, unless this grid's measurement is stored."""
        program = programs[name]
        count = self._counts.report
        if self._store.has(row.name, calls, which, name, count):
            return
        if self._store.has(row.name, calls, _OTHER[which], name, count):
            self._store.copy(row.name, calls, _OTHER[which], which)
            return
        quality = self._batches.quality(program, Bank("report"), count)
        entry = asdict(quality) | {
            "grid": name,
            "nfe": program.nfe,
            "num_samples": count,
            "solver": row.solver,
            "options": row.options,
        }
        self._store.put(row.name, calls, which, entry)
        print(f"{row.name} {calls} {which} {name}: {quality.fid:.3f}", file=sys.stderr)


_OTHER = {"best": "default", "default": "best"}


class _Store:
    """The result file, written as a whole after every measurement."""

    def __init__(self, path: Path, identity: dict[str, object]) -> None:
        self._path = path
        fresh: dict[str, Any] = {**identity, "machine": machine(), "screening": {}, "cells": {}}
        held = json.loads(path.read_text(encoding="utf-8")) if path.exists() else fresh
        same = all(held.get(key) == value for key, value in identity.items())
        self.document: dict[str, Any] = held if same else fresh

    def scores(self, name: str, calls: int, num_samples: int) -> dict[str, float]:
        """Distances on the search bank, by grid."""
        found: dict[str, float] = self.document["screening"].get(
            f"{name}|{calls}|{num_samples}", {}
        )
        return found

    def put_scores(self, name: str, calls: int, num_samples: int, scores: dict[str, float]) -> None:
        """Store distances on the search bank."""
        self.document["screening"][f"{name}|{calls}|{num_samples}"] = scores
        self._write()

    def has(self, name: str, calls: int, which: str, grid_name: str, count: int) -> bool:
        """Whether a cell holds the measurement of this grid."""
        cell = self.document["cells"].get(f"{name}|{calls}|{which}", {})
        return bool(cell.get("grid") == grid_name and cell.get("num_samples") == count)

    def grid(self, name: str, calls: int) -> str | None:
        """The grid that was best at a number of calls."""
        cell = self.document["cells"].get(f"{name}|{calls}|best")
        return None if cell is None else str(cell["grid"])

    def copy(self, name: str, calls: int, source: str, target: str) -> None:
        """The same measurement in both tables: the default grid is the best one."""
        cells = self.document["cells"]
        cells[f"{name}|{calls}|{target}"] = cells[f"{name}|{calls}|{source}"]
        self._write()

    def copied(self, name: str, calls: int, others: Sequence[int]) -> bool:
        """Whether another column's cells of the same steps were there, and now stand here too."""
        cells = self.document["cells"]
        for other in others:
            found = {
                w: cells[f"{name}|{other}|{w}"] for w in _OTHER if f"{name}|{other}|{w}" in cells
            }
            if found:
                cells.update({f"{name}|{calls}|{w}": cell for w, cell in found.items()})
                self._write()
                return True
        return False

    def put(self, name: str, calls: int, which: str, entry: dict[str, Any]) -> None:
        """Store a cell."""
        self.document["cells"][f"{name}|{calls}|{which}"] = entry
        self._write()

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        for path, text in (
            (self._path, json.dumps(self.document, indent=1, sort_keys=True) + "\n"),
            (self._path.with_suffix(".md"), markdown(self.document)),
        ):
            part = path.with_name(path.name + ".part")
            part.write_text(text, encoding="utf-8")
            part.replace(path)


def most_steps(row: Row, calls: int) -> int | None:
    """The most steps that cost at most `calls`; None where even the shortest grid costs more."""
    solver = SOLVERS.get(row.solver)
    steps = solver.memory
    if solver.nfe_of_steps(steps, row.options) > calls:
        return None
    while solver.nfe_of_steps(steps + 1, row.options) <= calls:
        steps += 1
    return steps


def _same_steps(row: Row, calls: int) -> list[int]:
    """Columns measured before this one at which the solver takes as many steps."""
    before = CALLS[: CALLS.index(calls)] if calls in CALLS else ()
    return [other for other in before if most_steps(row, other) == most_steps(row, calls)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.solver_quality", description="Every solver on named grids."
    )
    parser.add_argument("--model", default="zoo:digits")
    parser.add_argument("--calls", nargs="+", type=int, default=list(CALLS))
    parser.add_argument("--only", nargs="+", default=[], help="rows; all by default")
    parser.add_argument("--teacher", action="store_true", help="measure all training steps too")
    for flag, count, of in (
        ("--images", Counts().report, "each measurement that is shown"),
        ("--screen-images", Counts().screen, "each grid"),
        ("--final-images", Counts().final, f"the {NUM_FINAL} best grids"),
    ):
        parser.add_argument(flag, type=int, default=count, help=f"of {of}")
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True, help="JSON file; .md goes beside it")
    return parser


if __name__ == "__main__":
    sys.exit(main())
