"""The request of a search: the body of POST /v1/searches, and the configuration of every search."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fewstep.canonical import content_hash
from fewstep.errors import InvalidInput
from fewstep.guidance import Cost, Guidance
from fewstep.plain_json import check_plain
from fewstep.price import chain_cost, image_cost
from fewstep.request_chains import ChainsRequest, check_chains, count_chain_steps
from fewstep.request_options import check_searched, count_steps, solver_of
from fewstep.request_pruning import PruningRequest, check_pruning
from fewstep.solvers import canonical_name

MAX_NFE = 1000
MAX_BUDGET = 10_000_000
# Small-batch Frechet distances of fewer images rank nothing.
MIN_FIDELITY = 64
MAX_FIDELITY = 65_536

Strategy = Literal["evolution", "paper", "random"]

_Indices = Annotated[
    tuple[Annotated[int, Field(strict=True)], ...], Field(max_length=MAX_NFE, strict=False)
]
_Option = bool | int | float | str
_Options = dict[str, _Option | Annotated[list[_Option], Field(max_length=MAX_NFE)]]

# Fields that requests did not have at first. At these values they mean what was meant without them,
# so they are no part of the identity.
_LATER_FIELDS: dict[str, object] = {"solver_options": {}, "search_options": []}
# Parts of a request with fields of their own; null where they are not asked for.
_PARTS: dict[str, type[BaseModel]] = {"dlg": ChainsRequest, "pruning": PruningRequest}


class SearchRequest(BaseModel):
    """What to search, and how much it may cost.

    Exactly one of `nfe` and `steps` is given; the other follows from the solver and its options.
    `nfe` counts denoiser calls of one sample, `budget` network passes: classifier-free guidance
    takes two for a call, classifier guidance one and a gradient, which the model's card prices.

    `solver_options` are fixed for every candidate and baseline; those in `search_options` are
    chosen by the search, for each step where they have a value for each step.

    With `dlg` images are drawn from chains: `nfe` is then chain steps and denoising of one image,
    `steps` those of denoising (the most, where the number of chain steps is searched).

    With `pruning` a second stage cuts the network of the best schedules.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        json_schema_extra={
            "examples": [
                {"model": "zoo:digits", "solver": "dpm-solver++-2m", "nfe": 4},
                {
                    "model": "zoo:digits",
                    "solver": "ltsp4",
                    "nfe": 8,
                    "guidance": "classifier",
                    "guidance_scale": 2.0,
                    "solver_options": {"weights": "variable"},
                    "search_options": ["order"],
                },
                {"model": "zoo:digits", "nfe": 10, "dlg": {"num_skip": 3, "chains": 64}},
                {"model": "zoo:digits", "nfe": 6, "pruning": {"cost": 0.7, "mode": "bands"}},
            ]
        },
    )

    model: Annotated[str, Field(min_length=1, max_length=200)]
    reference: Annotated[str | None, Field(max_length=200)] = None
    solver: Annotated[str, Field(max_length=100)] = "dpm-solver++-2m"
    solver_options: Annotated[_Options, Field(max_length=32)] = {}
    search_options: Annotated[
        tuple[Annotated[str, Field(max_length=100, strict=True)], ...],
        Field(max_length=32, strict=False),
    ] = ()
    nfe: Annotated[int, Field(ge=1, le=MAX_NFE)] = 1
    steps: Annotated[int, Field(ge=1, le=MAX_NFE)] = 1
    strategy: Strategy = "evolution"
    paper_fraction: Annotated[float, Field(gt=0.0, le=1.0)] = 0.02
    budget: Annotated[int, Field(ge=1, le=MAX_BUDGET)] = 200_000
    guidance: Guidance = "none"
    guidance_scale: Annotated[float, Field(ge=0.0, le=50.0)] = 1.0
    dlg: ChainsRequest | None = None
    pruning: PruningRequest | None = None
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
    def _fill_in(cls, document: Any) -> Any:
        """Derive the count that was not given from the other one, and guidance from its scale."""
        if not isinstance(document, dict):
            return document
        if document.get("guidance") is None:
            is_plain = document.get("guidance_scale", 1.0) == 1.0
            document = document | {"guidance": "none" if is_plain else "classifier-free"}
        given = [name for name in ("nfe", "steps") if document.get(name) is not None]
        if not given:
            raise InvalidInput("nfe: missing; give nfe (1 to 1000) or steps", field="nfe")
        solver = solver_of(document.get("solver", "dpm-solver++-2m"))
        counts = {name: document[name] for name in given}
        if any(type(count) is not int or not 1 <= count <= MAX_NFE for count in counts.values()):
            return document | {"nfe": counts.get("nfe", 1), "steps": counts.get("steps", 1)}
        options, dlg = document.get("solver_options"), document.get("dlg")
        if isinstance(dlg, dict):
            return document | count_chain_steps(solver, counts, options, dlg)
        return document | count_steps(solver, counts, options)

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

    @model_validator(mode="after")
    def _check_solver(self) -> Self:
        """Searched options must be the solver's, and guidance what it can work under."""
        solver = solver_of(self.solver)
        check_searched(solver, self.search_options, self.solver_options)
        if self.search_options and self.strategy == "paper":
            raise InvalidInput(
                "search_options: the published algorithm searches times alone; allowed: none, or "
                "strategy 'evolution' or 'random'",
                field="search_options",
            )
        if solver.is_split and self.guidance == "none":
            raise InvalidInput(
                f"guidance='none': {solver.name} takes guidance in steps of its own; allowed: "
                "classifier, or classifier-free with a guidance_scale other than 1",
                field="guidance",
            )
        _check_scale(self.guidance, self.guidance_scale)
        if self.dlg is not None:
            check_chains(
                guidance=self.guidance,
                strategy=self.strategy,
                options=self.solver_options,
            )
        return self

    @model_validator(mode="after")
    def _check_pruning(self) -> Self:
        """Pruned networks must go together with the rest."""
        if self.pruning is not None:
            check_pruning(
                self.pruning,
                strategy=self.strategy,
                guidance=self.guidance,
                solver=solver_of(self.solver),
                has_chains=self.dlg is not None,
            )
        return self

    @property
    def canonical_solver(self) -> str:
        """The solver's one name."""
        return canonical_name(self.solver)

    @property
    def cost(self) -> Cost:
        """Network passes and gradients of one image, searched options at their defaults.

        Those that chains take before their first images are not counted.
        """
        denoising = image_cost(
            self.solver, self.steps, guidance=self.guidance, options=self.solver_options
        )
        if self.dlg is None:
            return denoising
        solver = solver_of(self.solver)
        skip = self.nfe - solver.nfe_of_steps(self.steps, self.solver_options)
        return denoising + chain_cost(skip, self.guidance)

    @property
    def calls_per_image(self) -> int:
        """Network passes of one image, gradients of a guide not counted."""
        return self.cost.passes

    @property
    def identity(self) -> str:
        """SHA-256 of the canonical request."""
        later = dict(_LATER_FIELDS)
        if self.guidance != "classifier":
            later["guidance"] = self.guidance  # follows from the scale
        fields = self.resolved()
        kept = {k: v for k, v in fields.items() if k not in later or v != later[k]}
        return content_hash(kept)

    def resolved(self) -> dict[str, object]:
        """Every field as plain JSON values, defaults and both counts included.

        Parts that came later are left out where they are null, as `dlg` and `pruning`.
        """
        absent = {name for name in _PARTS if getattr(self, name) is None}
        return self.model_dump(mode="json", exclude=absent)


def _check_scale(guidance: Guidance, scale: float) -> None:
    """One way to say it: no guidance is `none` with scale 1, which classifier-free has at 1."""
    if guidance == "none" and scale != 1.0:
        raise InvalidInput(
            f"guidance_scale={scale:g}: there is nothing to scale under guidance 'none'; "
            "allowed: 1",
            field="guidance_scale",
        )
    if guidance == "classifier-free" and scale == 1.0:
        raise InvalidInput(
            "guidance='classifier-free': at guidance_scale 1 it is the plain conditional model; "
            "allowed: none, or another guidance_scale",
            field="guidance",
        )


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
        kind = _PARTS.get(field.split(".")[0], SearchRequest)
        allowed = f"; allowed: {', '.join(sorted(kind.model_fields))}"
    if first["type"] == "missing":
        return InvalidInput(f"{field}: missing; it is required", field=field)
    shown = repr(first["input"])
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
    message = first["msg"][:1].lower() + first["msg"][1:]
    return InvalidInput(f"{field or 'request'}={shown}: {message}{allowed}", field=field or None)
