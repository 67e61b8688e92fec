"""The part of a request that asks for images drawn from chains (denoising MCMC)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fewstep.errors import InvalidInput
from fewstep.guidance import Guidance
from fewstep.mcmc.plan import LEAST_START_CALLS, ChainPlan
from fewstep.mcmc.settings import Adjust, Emission, Gibbs
from fewstep.request_options import count_steps, named_as_request_fields, steps_for
from fewstep.solvers import Solver

MAX_SKIP = 8
"""Most chain steps that a search tries."""


class ChainsRequest(BaseModel):
    """Draw images from chains near the data, and denoise them from there (DLG).

    `eta` (step of the Langevin move, in squared units of the data) and `num_skip` (chain steps of
    an image) are searched where they are not given. `chains` run side by side; they start from
    images of a plain run of `start_calls`, and take `burn_in` steps before their first image.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    eta: Annotated[float | None, Field(gt=0.0, le=1e6)] = None
    num_skip: Annotated[int | None, Field(ge=1, le=999)] = None
    chains: Annotated[int, Field(ge=1, le=4096)] = 32
    burn_in: Annotated[int, Field(ge=0, le=10_000)] = 10
    start_calls: Annotated[int, Field(ge=LEAST_START_CALLS, le=1000)] = 10
    gibbs: Gibbs = "sample"
    emission: Emission = "last"
    adjust: Adjust = "none"

    @model_validator(mode="after")
    def _has_what_adjustment_needs(self) -> Self:
        if self.adjust == "mala":
            raise InvalidInput(
                "dlg.adjust='mala': a noise-level guide gives no densities to accept by; allowed: "
                "none, noise-corrected",
                field="dlg.adjust",
            )
        return self

    def plan(self, *, eta: float, num_skip: int) -> ChainPlan:
        """The chains of one candidate."""
        fixed = self.model_dump(exclude={"eta", "num_skip"})
        return ChainPlan(eta=eta, num_skip=num_skip, **fixed)


def count_chain_steps(
    solver: Solver, counts: Mapping[str, int], options: object, dlg: Mapping[str, object]
) -> dict[str, int]:
    """Both counts, `nfe` with the chain steps and `steps` of denoising, as `count_steps` does.

    Where the number of chain steps is searched, `steps` is the most that denoising can have.

    Args:
        solver: What denoises.
        counts: What was given of both.
        options: The request's fixed options, not validated yet.
        dlg: The request's field, not validated yet.

    Raises:
        InvalidInput: no split of the calls suits the solver, or as `count_steps`.
    """
    given = options if isinstance(options, Mapping) else None
    with named_as_request_fields():
        skip = _least_skip(solver, counts.get("nfe"), given, dlg.get("num_skip"))
    denoising = {k: v - skip if k == "nfe" else v for k, v in counts.items()}
    found = count_steps(solver, denoising, options)
    return found | {"nfe": found["nfe"] + skip}


def _least_skip(
    solver: Solver, nfe: int | None, options: Mapping[str, object] | None, given: object
) -> int:
    """Chain steps that leave the most calls to denoising."""
    is_given = type(given) is int and given >= 1
    tried = [given] if is_given and isinstance(given, int) else skips(nfe or MAX_SKIP)
    if nfe is None:
        return tried[0]
    for skip in tried:
        if spends(solver, nfe - skip, options):
            return skip
    name, value = ("dlg.num_skip", given) if is_given else ("nfe", nfe)
    raise InvalidInput(
        f"{name}={value}: {solver.name} cannot denoise with exactly what chain steps leave of "
        f"nfe={nfe}; allowed: what leaves it {solver.memory} steps and more, of "
        f"{solver.calls_per_step} calls each",
        field=name,
    )


def skips(nfe: int) -> list[int]:
    """The numbers of chain steps that a search tries: 1 to 8, and a call left to denoise with."""
    return list(range(1, min(MAX_SKIP, nfe - 1) + 1))


def spends(solver: Solver, nfe: int, options: Mapping[str, object] | None) -> bool:
    """Whether a grid of the solver costs exactly that many calls.

    Raises:
        InvalidInput: an option is not allowed.
    """
    try:
        steps_for(solver, nfe, options)
    except InvalidInput as error:
        if error.field not in ("nfe", "steps"):
            raise
        return False
    return True


def check_chains(*, guidance: Guidance, strategy: str, options: Mapping[str, object]) -> None:
    """Refuse what does not go together with chains.

    Raises:
        InvalidInput: names the field.
    """
    if guidance == "classifier":
        raise InvalidInput(
            "guidance='classifier': chains take no gradients of a guide; allowed with dlg: none, "
            "classifier-free",
            field="guidance",
        )
    if strategy == "paper":
        raise InvalidInput(
            "dlg: the published algorithm searches times alone; allowed: null, or strategy "
            "'evolution' or 'random'",
            field="dlg",
        )
    for name, value in options.items():
        if isinstance(value, list):
            raise InvalidInput(
                f"solver_options.{name}: a value for each step, but schedules with chains have "
                "fewer steps than those they are compared with; allowed with dlg: one value",
                field=f"solver_options.{name}",
            )
