"""The studies of solvers, guidance and chains: what they choose, and that tables are of results."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from benchmarks import dlg_table, guided_table, solver_overhead, solver_quality_table
from benchmarks.dlg_cells import ADAPTIVE, cells
from benchmarks.guided import needed_steps
from benchmarks.solver_quality import CALLS, Row, most_steps, rows
from fewstep.mcmc.integrators import INTEGRATORS
from fewstep.process import VPDiscrete
from fewstep.program import MAX_CONDITION, trace
from fewstep.spacing import named_grids

TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "solvers-digits": solver_quality_table.markdown,
    "solver-overhead": solver_overhead.markdown,
    "guided-digits": guided_table.markdown,
    "dlg-digits": dlg_table.markdown,
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_those_of_the_stored_results(name: str, repository: Path) -> None:
    folder = repository / "benchmarks" / "results"
    document = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    stored = (folder / f"{name}.md").read_text(encoding="utf-8")
    assert TABLES[name](document) == stored


def test_every_solver_without_split_guidance_has_its_cells(repository: Path) -> None:
    path = repository / "benchmarks" / "results" / "solvers-digits.json"
    measured = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert any(key.startswith("teacher") for key in measured)
    for row, calls in product(rows([]), CALLS):
        if row.name != row.solver and calls > 10:
            continue  # settings stop there, most of them
        is_there = f"{row.name}|{calls}|best" in measured
        assert is_there or not _feasible_grids(row, calls), (row.name, calls)


def _feasible_grids(row: Row, calls: int) -> list[str]:
    """Grids of at most so many calls that a row's coefficients keep float32 accurate on."""
    process, steps = VPDiscrete.linear(), most_steps(row, calls)
    if steps is None:
        return []
    programs = {
        name: trace(times, process=process, solver=row.solver, options=row.options)
        for name, times in named_grids(process, steps).items()
    }
    return [name for name, program in programs.items() if program.condition <= MAX_CONDITION]


def test_needed_steps_are_interpolated_between_measured_ones() -> None:
    distances = {
        "ddim|20": [0.1, 0.1],
        "heun|10": [0.4, 0.4],
        "heun|20": [0.1, 0.05],
        "heun|25": [0.02, 0.02],
        "plms4|10": [0.5, 0.5],
    }
    assert needed_steps(distances, "heun", 20, 0) == pytest.approx(20.0)
    assert 10.0 < (needed_steps(distances, "heun", 20, 1) or 0.0) < 20.0
    assert needed_steps(distances, "plms4", 20, 0) is None


@pytest.mark.parametrize("budget", [10, 20, 50, 100])
def test_arms_spend_the_budget_and_no_more(budget: int) -> None:
    process = VPDiscrete.linear()
    for cell in cells(budget, eta=0.2):
        if cell.integrator == ADAPTIVE:
            continue  # has a tolerance instead
        integrator = INTEGRATORS.get(cell.integrator)
        calls = budget - cell.num_skip
        is_heun = cell.integrator.startswith("KAR")
        count = (calls + 3) // 2 if is_heun else calls
        times = integrator.levels(count, 0.01).rebased(100.0, process)
        program = trace(
            times, process=process, solver=integrator.solver, options=integrator.options(count)
        )
        spent = cell.num_skip + program.nfe
        assert budget - (is_heun and not cell.has_chains) == spent, cell
