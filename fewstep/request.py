"""The request of a search: the body of POST /v1/searches, and the configuration of every search."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fewstep.canonical import content_hash
from fewstep.errors import InvalidInput
from fewstep.guidance import guidance_passes
from fewstep.plain_json import check_plain
from fewstep.solvers import SOLVERS, Solver, canonical_name

MAX_NFE = 1000
MAX_BUDGET = 10_000_000
# Small-batch Frechet distances of fewer images rank nothing.
MIN_FIDELITY = 64
MAX_FIDELITY = 65_536

Strategy = Literal["evolution", "paper", "random"]

_Indices = Annotated[
    tuple[Annotated[int, Field(strict=True)], ...], Field(max_length=MAX_NFE, strict=False)
]


class SearchRequest(BaseModel):
    """What to search, and how much it may cost.

    Exactly one of `nfe` and `steps` is given; the other follows from the solver. Both count
    denoiser calls of one sample; guidance with two passes doubles the network calls, which is
    what `budget` counts.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        json_schema_extra={
            "examples": [{"model": "zoo:digits", "solver": "dpm-solver++-2m", "nfe": 4}]
        },
    )

    model: Annotated[str, Field(min_length=1, max_length=200)]
    reference: Annotated[str | None, Field(max_length=200)] = None
    solver: Annotated[str, Field(max_length=100)] = "dpm-solver++-2m"
    nfe: Annotated[int, Field(ge=1, le=MAX_NFE)] = 1
    steps: Annotated[int, Field(ge=1, le=MAX_NFE)] = 1
    strategy: Strategy = "evolution"
    paper_fraction: Annotated[float, Field(gt=0.0, le=1.0)] = 0.02
    budget: Annotated[int, Field(ge=1, le=MAX_BUDGET)] = 200_000
    guidance_scale: Annotated[float, Field(ge=0.0, le=50.0)] = 1.0
    clip_denoised: bool | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    # Strictness is for the numbers: JSON has lists, not tuples.
    initial_times: Annotated[tuple[_Indices, ...], Field(max_length=64, strict=False)] = ()
    fidelities: Annotated[
        tuple[Annotated[int, Field(ge=MIN_FIDELITY, le=MAX_FIDELITY, strict=True)], ...],
        Field(min_length=1, max_length=6, strict=False),
    ] = (256, 1024, 4096)
    num_finalists: Annotated[int, Field(ge=1, le=50)] = 5
    report_images: Annotated[int, Field(ge=MIN_FIDELITY, le=MAX_FIDELITY)] = 4096
    report_sets: Annotated[int, Field(ge=2, le=20)] = 3

    @classmethod
    def parse(cls, document: object) -> SearchRequest:
        """Validate a decoded JSON document.

        Raises:
            InvalidInput: names the first offending field, its value, and what is allowed.
        """
        check_plain(document)
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise _named(error) from error

    @model_validator(mode="before")
    @classmethod
    def _fill_nfe_and_steps(cls, document: Any) -> Any:
        """Derive the count that was not given from the other one."""
        if not isinstance(document, dict):
            return document
        given = [name for name in ("nfe", "steps") if document.get(name) is not None]
        if not given:
            raise InvalidInput("nfe: missing; give nfe (1 to 1000) or steps", field="nfe")
        solver = _solver(document.get("solver", "dpm-solver++-2m"))
        counts = {name: document[name] for name in given}
        if any(type(count) is not int or not 1 <= count <= MAX_NFE for count in counts.values()):
            return document | {"nfe": counts.get("nfe", 1), "steps": counts.get("steps", 1)}
        if "nfe" in counts:
            steps = solver.steps_of_nfe(counts["nfe"])
            if counts.get("steps", steps) != steps:
                raise InvalidInput(
                    f"steps={counts['steps']}: {solver.name} takes {steps} steps for "
                    f"nfe={counts['nfe']}; give one of the two",
                    field="steps",
                )
            return document | {"steps": steps}
        solver.check_steps(counts["steps"])
        return document | {"nfe": solver.nfe_of_steps(counts["steps"])}

    @model_validator(mode="after")
    def _check_lists(self) -> Self:
        """Lists must be ordered, and starts must have the grid's length."""
        for i, (low, high) in enumerate(pairwise(self.fidelities)):
            if low >= high:
                raise InvalidInput(
                    f"fidelities[{i + 1}]={high} <= fidelities[{i}]={low}: must strictly increase",
                    field=f"fidelities[{i + 1}]",
                )
        for i, indices in enumerate(self.initial_times):
            _check_indices(indices, f"initial_times[{i}]", self.steps)
        return self

    @property
    def canonical_solver(self) -> str:
        """The solver's one name."""
        return canonical_name(self.solver)

    @property
    def calls_per_image(self) -> int:
        """Network calls of one image: solver calls times guidance passes."""
        return self.nfe * guidance_passes(self.guidance_scale)

    @property
    def identity(self) -> str:
        """SHA-256 of the canonical request."""
        return content_hash(self.resolved())

    def resolved(self) -> dict[str, object]:
        """Every field as plain JSON values, defaults and both counts included."""
        return self.model_dump(mode="json")


def _solver(name: object) -> Solver:
    if not isinstance(name, str):
        raise InvalidInput(f"solver={name!r}: must be a name", field="solver")
    return SOLVERS.get(canonical_name(name), field="solver")


def _check_indices(indices: tuple[int, ...], label: str, steps: int) -> None:
    """Start grids list `steps` training indices, from noise to data."""
    if len(indices) != steps:
        raise InvalidInput(
            f"{label}: {len(indices)} indices; allowed: {steps}, one for each step", field=label
        )
    for j, index in enumerate(indices):
        if index < 0:
            raise InvalidInput(f"{label}[{j}]={index}: allowed: 0 and more", field=f"{label}[{j}]")
        if j and index >= indices[j - 1]:
            raise InvalidInput(
                f"{label}[{j}]={index} >= {label}[{j - 1}]={indices[j - 1]}: "
                "must strictly decrease, from noise to data",
                field=f"{label}[{j}]",
            )


def _named(error: ValidationError) -> InvalidInput:
    """The first complaint of pydantic in our words: field, value, what is allowed."""
    first = error.errors(include_url=False)[0]
    field = "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]
    ).lstrip(".")
    allowed = ""
    if first["type"] == "extra_forbidden":
        allowed = f"; allowed: {', '.join(sorted(SearchRequest.model_fields))}"
    if first["type"] == "missing":
        return InvalidInput(f"{field}: missing; it is required", field=field)
    shown = repr(first["input"])
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
    message = first["msg"][:1].lower() + first["msg"][1:]
    return InvalidInput(f"{field or 'request'}={shown}: {message}{allowed}", field=field or None)
