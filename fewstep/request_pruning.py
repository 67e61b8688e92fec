"""The part of a request that asks for pruned networks (the second stage of a search)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fewstep.errors import InvalidInput
from fewstep.guidance import Guidance
from fewstep.networks.pruning.architecture import Repair
from fewstep.networks.pruning.calibration_plan import MAX_IMAGES
from fewstep.solvers import Solver

MAX_POINTS = 12
"""Most points of a front that a search reports: each is scored on every report set."""

Objective = Literal["macs", "seconds"]
# Those of `space.architectures` and `space.survey`, which this package may not import.
PruningMode = Literal["shared", "bands", "steps"]
PruningImportance = Literal["magnitude", "reconstruction", "sensitivity"]

# What the published algorithm leaves open; it has rules of its own for everything else.
_FIELDS_OF_PAPER = frozenset({"max_saving"})


class PruningRequest(BaseModel):
    """Cut the network of the best schedules, and report a front of distance over cost.

    Attributes:
        objective: What is saved beside the distance: multiply-adds, or seconds as measured on the
            device that scores.
        cost: Budget mode: the largest share of the full network's cost; null: a whole front.
        max_saving: Without `cost`, the largest share of the cost that is saved. In paper mode the
            largest share of its layers that a step skips.
        mode: One network for all steps, one for each of a few bands of noise, or any of a few at
            any step.
        repair: What stands in for what was cut, fitted in closed form: "bias" keeps means, "ridge"
            refits the weights that stay.
        importance: What decides which units go first.
        remove: Whether whole bodies of blocks may go.
        reuse: Whether a body may be what it was in the call before; null: where it can be.
        calibration_images: Images on whose states moments and importance are measured.
        share: Of the budget, for this stage.
        points: How many points of the front are reported; the first is the best within the limits.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    objective: Objective = "macs"
    cost: Annotated[float | None, Field(gt=0.0, lt=1.0)] = None
    max_saving: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.25
    mode: PruningMode = "steps"
    repair: Repair = "ridge"
    importance: PruningImportance = "reconstruction"
    remove: bool = True
    reuse: bool | None = None
    calibration_images: Annotated[int, Field(ge=1, le=MAX_IMAGES)] = 128
    share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
    points: Annotated[int, Field(ge=1, le=MAX_POINTS)] = 5

    def may_reuse(self, *, guidance: Guidance, solver: Solver) -> bool:
        """Whether bodies are reused: as asked for, else wherever it can be."""
        if self.reuse is not None:
            return self.reuse
        return self.mode != "shared" and not _splits_labels(guidance, solver)

    @model_validator(mode="after")
    def _has_one_limit(self) -> Self:
        """A budget and a ramp of savings are two ways to bound the same cost."""
        usual = type(self).model_fields["max_saving"].default
        if self.cost is not None and self.max_saving != usual:
            raise InvalidInput(
                f"pruning.max_saving={self.max_saving:g}: pruning.cost={self.cost:g} bounds the "
                f"cost already; allowed: one of the two",
                field="pruning.max_saving",
            )
        return self

    @model_validator(mode="after")
    def _reuses_where_it_can(self) -> Self:
        """Something must have run what is reused."""
        if self.reuse and self.mode == "shared":
            raise InvalidInput(
                "pruning.reuse=True: with mode 'shared' every step runs the same network, so no "
                "call before the first would have run the body; allowed: mode 'bands' or 'steps'",
                field="pruning.reuse",
            )
        return self


def check_pruning(
    pruning: PruningRequest, *, strategy: str, guidance: Guidance, solver: Solver, has_chains: bool
) -> None:
    """Refuse what does not go together with pruned networks.

    Raises:
        InvalidInput: names the field.
    """
    if has_chains:
        raise InvalidInput(
            "pruning: chains run the full network at levels of their own; allowed with dlg: null",
            field="pruning",
        )
    if strategy == "random":
        raise InvalidInput(
            "pruning: random search is a control that searches times alone; allowed: null, or "
            "strategy 'evolution' or 'paper'",
            field="pruning",
        )
    if strategy == "paper":
        _check_paper(pruning)
    if pruning.reuse and _splits_labels(guidance, solver):
        raise InvalidInput(
            f"pruning.reuse=True: {solver.name} calls the network now with one label of each image "
            "and now with two, whose bodies are not the same; allowed: false, or a solver that "
            "does not split guidance",
            field="pruning.reuse",
        )


def _splits_labels(guidance: Guidance, solver: Solver) -> bool:
    """Whether calls run the network with other numbers of labels, each with bodies of their own."""
    return solver.is_split and guidance == "classifier-free"


def _check_paper(pruning: PruningRequest) -> None:
    """All or nothing, as with times: a part of the published algorithm would be no comparison."""
    for name, field in PruningRequest.model_fields.items():
        value = getattr(pruning, name)
        if name not in _FIELDS_OF_PAPER and value != field.default:
            allowed = ", ".join(sorted(_FIELDS_OF_PAPER))
            raise InvalidInput(
                f"pruning.{name}={value!r}: strategy 'paper' skips whole layers by the published "
                f"rules; allowed to be given: {allowed}",
                field=f"pruning.{name}",
            )
