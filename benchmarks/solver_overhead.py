"""What a sampler costs beside the network: a ten-call run with a network that does nothing.

    python -m benchmarks.solver_overhead --out benchmarks/results/solver-overhead.json

Ours and diffusers' scheduler of the same method take turns within one process, so that whatever
else the machine does falls on both; medians over the turns.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.machine import machine, write_result
from fewstep.denoisers import StackedLevel
from fewstep.errors import InvalidInput
from fewstep.process import VPDiscrete
from fewstep.program import Program, trace
from fewstep.running import run
from fewstep.solvers import SOLVERS, Kind, Solver
from fewstep.spacing import grid

SHAPE = (64, 3, 32, 32)
CALLS = 10
TURNS = 30
GRID = "uniform-t"

# Our solver -> diffusers' scheduler of the same method, and its settings.
COUNTERPARTS: dict[str, tuple[str, dict[str, object]]] = {
    "ddim": ("EulerDiscreteScheduler", {}),
    "ddpm": ("DDPMScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "dpm-solver++-2s": ("DPMSolverSinglestepScheduler", {"solver_order": 2}),
    "dpm-solver++-2m": ("DPMSolverMultistepScheduler", {"solver_order": 2}),
    "dpm-solver++-3m": ("DPMSolverMultistepScheduler", {"solver_order": 3}),
    "unipc-2": ("UniPCMultistepScheduler", {"solver_order": 2}),
    "unipc-3": ("UniPCMultistepScheduler", {"solver_order": 3}),
    "deis-logrhoab1": ("DEISMultistepScheduler", {"solver_order": 2}),
    "deis-logrhoab2": ("DEISMultistepScheduler", {"solver_order": 3}),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.solver_overhead", description="Milliseconds beside the network."
    )
    parser.add_argument("--out", type=Path, required=True, help="JSON file; .md goes beside it")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    figures = {"shape": list(SHAPE), "calls": CALLS, "turns": TURNS, "rows": measure()}
    write_result(options.out, figures)
    text = markdown(figures | {"machine": machine()})
    options.out.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)
    return 0


def measure() -> list[dict[str, object]]:
    """One row per registered solver that needs no guidance."""
    rows = []
    for name in SOLVERS.names():
        solver = SOLVERS.get(name)
        if not solver.is_split:
            rows.append(_row(solver))
            print(rows[-1], file=sys.stderr)
    return rows


def _row(solver: Solver) -> dict[str, object]:
    process = VPDiscrete.linear()
    steps = _steps(solver)
    times = grid(GRID, process, steps)
    traced: list[float] = []
    for _ in range(TURNS):
        started = time.perf_counter()
        program = trace(times, process=process, solver=solver.name)
        traced.append(time.perf_counter() - started)
    ours = _ours(program)
    theirs = _theirs(solver.name, steps)
    spent: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(TURNS):
        spent["ours"].append(_timed(ours))
        if theirs is not None:
            spent["theirs"].append(_timed(theirs))
    calls = program.nfe
    return {
        "solver": solver.name,
        "calls": calls,
        "trace_ms": 1e3 * statistics.median(traced),
        "ms_per_call": 1e3 * statistics.median(spent["ours"]) / calls,
        "diffusers": None if theirs is None else COUNTERPARTS[solver.name][0],
        "diffusers_ms_per_call": (
            None if theirs is None else 1e3 * statistics.median(spent["theirs"]) / calls
        ),
    }


def _steps(solver: Solver) -> int:
    """The longest grid that costs at most `CALLS`."""
    for calls in range(CALLS, 0, -1):
        try:
            return solver.steps_of_nfe(calls)
        except InvalidInput:
            continue
    raise InvalidInput(f"solver={solver.name}: no grid of {CALLS} calls and fewer")


def _ours(program: Program) -> Callable[[], Tensor]:
    x, prediction = torch.randn(SHAPE), torch.randn(SHAPE)
    noise = [torch.randn(SHAPE) for _ in range(program.noise_terms)]

    def denoiser(x: Tensor, at: StackedLevel, kind: Kind = "denoised") -> Tensor:  # noqa: ARG001
        return prediction

    return lambda: run(program, denoiser, x, noise=noise)


def _theirs(name: str, steps: int) -> Callable[[], Tensor] | None:
    if name not in COUNTERPARTS:
        return None
    import diffusers

    kind, settings = COUNTERPARTS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler: Any = getattr(diffusers, kind)(num_train_timesteps=1000, **settings)
    start, prediction = torch.randn(SHAPE), torch.randn(SHAPE)

    def sample() -> Tensor:
        scheduler.set_timesteps(steps)
        x: Tensor = start * scheduler.init_noise_sigma
        for t in scheduler.timesteps:
            scheduler.scale_model_input(x, t)
            x = scheduler.step(prediction, t, x).prev_sample
        return x

    return sample


def _timed(function: Callable[[], Tensor]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def markdown(figures: dict[str, Any]) -> str:
    """The table."""
    where = figures["machine"]
    lines = [
        "# Sampler overhead",
        "",
        f"Milliseconds per network call beside the network, states {figures['shape']} float32, "
        f"{figures['calls']} calls or the most below, one thread, median of {figures['turns']} "
        f"turns; {where['cores']} cores of {where['processor']}, torch {where['torch']}; "
        "`python -m benchmarks.solver_overhead --out ...`. Tracing is once per schedule.",
        "",
        "| solver | calls | ms per call | trace, ms | diffusers' scheduler | its ms per call |",
        "|---|---|---|---|---|---|",
    ]
    for row in figures["rows"]:
        other = (
            ("", "")
            if row["diffusers"] is None
            else (
                f"`{row['diffusers']}`",
                f"{row['diffusers_ms_per_call']:.3f}",
            )
        )
        lines.append(
            f"| `{row['solver']}` | {row['calls']} | {row['ms_per_call']:.3f} | "
            f"{row['trace_ms']:.2f} | {other[0]} | {other[1]} |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.exit(main())
