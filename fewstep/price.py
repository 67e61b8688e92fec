"""What an image costs, known before anything runs: evaluations by kind, passes and gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from fewstep.guidance import Cost, Guidance, cost_of
from fewstep.process import VPDiscrete
from fewstep.program import trace
from fewstep.solvers import SOLVERS, Kind, canonical_name


def calls_by_kind(
    solver: str, steps: int, options: Mapping[str, object] | None = None
) -> Mapping[Kind, int]:
    """Evaluations of one image on a grid of `steps` steps that ends at the clean level, by kind.

    They depend on the number of steps and the options, never on the levels: a split solver is
    traced on an even grid.
    """
    entry = SOLVERS.get(canonical_name(solver))
    if not entry.is_split:
        return {"denoised": entry.nfe_of_steps(steps, options)}
    times = [1.0 - i / steps for i in range(steps + 1)]
    program = trace(times, process=VPDiscrete.linear(), solver=entry.name, options=options)
    return cast("Mapping[Kind, int]", program.calls)


def image_cost(
    solver: str,
    steps: int,
    *,
    guidance: Guidance,
    options: Mapping[str, object] | None = None,
) -> Cost:
    """Network passes and gradients of one image."""
    return cost_of(calls_by_kind(solver, steps, options), guidance)


def chain_cost(calls: int, guidance: Guidance) -> Cost:
    """Network passes and gradients of so many steps of a chain, each a guided prediction."""
    return cost_of({"denoised": calls}, guidance)
