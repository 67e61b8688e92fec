"""The part of a schedule document that names its solver, and what an image costs with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from fewstep.errors import InvalidInput
from fewstep.guidance import Cost
from fewstep.process import Process
from fewstep.program import Program
from fewstep.solvers import SOLVERS, canonical_name
from fewstep.solvers.options import OptionValue, options_to_dict, resolve_options


class SolverSection(BaseModel):
    """The solver, its options, and its calls.

    `nfe` counts denoiser calls, `network_calls` passes of the network, `gradient_calls` gradients
    of the guide, and `cost` both in passes (null in documents before 1.2). `options` lists every
    option of the solver with the value used; per-step ones as lists. Start states are noise:
    `unit-normal`, or, where a process adds noise without scaling data down, `scaled-normal`: times
    sigma of the first point.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    name: str
    order: int
    steps: int
    nfe: int
    network_calls: int
    gradient_calls: int = 0
    cost: float | None = None
    lower_order_final: bool
    options: dict[str, Any] = Field(default_factory=dict)
    initial_noise: Literal["unit-normal", "scaled-normal"] = "unit-normal"


def solver_section(
    program: Program,
    *,
    solver: str,
    options: Mapping[str, object] | None,
    steps: int,
    process: Process,
    is_clean: bool,
    cost: Cost,
    in_passes: float,
) -> SolverSection:
    """What a document says of a solver.

    Args:
        program: what it does on the document's points.
        solver: a registered name or alias.
        options: its options by name.
        steps: of the grid.
        process: the model's.
        is_clean: whether the grid ends at the clean level.
        cost: of the program under the model's guidance.
        in_passes: the same in network passes.

    Raises:
        InvalidInput: an option is not allowed.
    """
    entry = SOLVERS.get(canonical_name(solver))
    return SolverSection(
        name=entry.name,
        order=entry.order,
        steps=steps,
        nfe=program.nfe,
        network_calls=cost.passes,
        gradient_calls=cost.gradients,
        cost=in_passes,
        lower_order_final=is_clean and not entry.handles_clean,
        options=_plain(options_to_dict(resolve_options(entry.options, options, steps=steps))),
        initial_noise="unit-normal" if process.initial_scale == 1.0 else "scaled-normal",
    )


def check_counts(
    stored: SolverSection, program: Program, *, steps: int, cost: Cost, in_passes: float
) -> None:
    """Hold stored counts against the program and what it costs under the model's guidance.

    Raises:
        InvalidInput: names the field.
    """
    if (stored.nfe, stored.steps) != (program.nfe, steps):
        raise InvalidInput(
            f"solver.nfe={stored.nfe}: the points take {program.nfe} calls in {steps} steps",
            field="solver.nfe",
        )
    pairs = {
        "network_calls": (stored.network_calls, cost.passes),
        "gradient_calls": (stored.gradient_calls, cost.gradients),
        "cost": (stored.cost, None if stored.cost is None else in_passes),
    }
    for name, (found, computed) in pairs.items():
        if found != computed:
            raise InvalidInput(
                f"solver.{name}={found!r}: the program takes {computed!r} under the model's "
                "guidance",
                field=f"solver.{name}",
            )


def _plain(options: Mapping[str, OptionValue]) -> dict[str, Any]:
    """Options as JSON has them: lists for per-step ones."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in options.items()}
