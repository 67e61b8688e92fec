"""The schedule document: what a search hands back and every sampler can reuse."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fewstep.canonical import content_hash
from fewstep.errors import InvalidInput
from fewstep.plain_json import check_plain
from fewstep.process import Process, VPDiscrete, process_from_description
from fewstep.program import Program, trace
from fewstep.solvers import SOLVERS, canonical_name
from fewstep.solvers.options import OptionValue, options_to_dict, resolve_options

if TYPE_CHECKING:
    from torch import Tensor

    from fewstep.denoisers import Denoiser

FORMAT = "fewstep-schedule"
VERSION = "1.1.0"
# How far stored levels and coefficients may be from those recomputed here.
LEVEL_TOLERANCE = 1e-6
COEFFICIENT_TOLERANCE = 1e-9

_CONFIG = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
_Times = Annotated[tuple[float, ...], Field(min_length=2, max_length=1001)]


class ModelSection(BaseModel):
    """The model a schedule was searched for; times mean nothing without it."""

    model_config = _CONFIG
    name: str
    prediction: Literal["noise", "denoised", "velocity"]
    checkpoint_sha256: str
    image_shape: tuple[int, int, int]
    process: dict[str, Any]
    num_classes: int | None = None
    guidance: Literal["none", "classifier-free"] = "none"
    guidance_scale: float = 1.0
    clip_denoised: bool = False


class SolverSection(BaseModel):
    """The solver, its options, and its calls.

    `nfe` counts denoiser calls, `network_calls` guidance passes. `options` lists every option of
    the solver with the value used; per-step ones as lists.
    """

    model_config = _CONFIG
    name: str
    order: int
    steps: int
    nfe: int
    network_calls: int
    lower_order_final: bool
    options: dict[str, Any] = Field(default_factory=dict)
    initial_noise: Literal["unit-normal"] = "unit-normal"


class PointsSection(BaseModel):
    """Parallel arrays over the K + 1 points, noise first; the last one is the terminal.

    `t` process time, `s` noise-to-signal ratio, `lam` = -ln s (null at the clean level), `k` the
    training index (null where there is none), `network_time` what the network is fed (null at the
    terminal, which is not evaluated).
    """

    model_config = _CONFIG
    t: _Times
    s: _Times
    lam: tuple[float | None, ...]
    k: tuple[int | None, ...]
    network_time: tuple[float | None, ...]


class Schedule(BaseModel):
    """A complete, validated schedule document.

    Reading one recomputes its levels and its program from the times and refuses a document whose
    numbers disagree, so that what was measured is what is run.
    """

    model_config = _CONFIG | ConfigDict(title="fewstep schedule")

    format: Literal["fewstep-schedule"] = "fewstep-schedule"
    version: str = VERSION
    model: ModelSection
    solver: SolverSection
    points: PointsSection
    terminal: Literal["zero", "value"]
    architecture: None = None
    program: dict[str, Any]
    fitness: dict[str, Any] = Field(default_factory=dict)
    provenance: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def build(
        cls,
        times: Sequence[float],
        *,
        model: ModelSection,
        solver: str,
        options: Mapping[str, object] | None = None,
        fitness: dict[str, Any] | None = None,
        provenance: dict[str, Any] | None = None,
    ) -> Schedule:
        """The document of a grid, with its levels and its program worked out.

        Raises:
            InvalidInput: the times are no grid of the model's process, or an option is not allowed.
        """
        process = process_from_description(model.process)
        program = trace(times, process=process, solver=solver, options=options)
        passes = 1 if model.guidance == "none" else 2
        is_clean = process.at(times[-1]).is_clean
        entry = SOLVERS.get(canonical_name(solver))
        resolved = resolve_options(entry.options, options, steps=len(times) - 1)
        return cls(
            model=model,
            solver=SolverSection(
                name=entry.name,
                order=entry.order,
                steps=len(times) - 1,
                nfe=program.nfe,
                network_calls=program.nfe * passes,
                lower_order_final=is_clean and not entry.handles_clean,
                options=_plain(options_to_dict(resolved)),
            ),
            points=_points(times, process),
            terminal="zero" if is_clean else "value",
            program=program.to_dict(),
            fitness=fitness or {},
            provenance=provenance or {},
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> Schedule:
        """Read a document.

        Raises:
            InvalidInput: no JSON, another format, or numbers that disagree; names the field.
        """
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"schedule: no JSON document ({error})", field="schedule") from error
        return cls.from_dict(document)

    @classmethod
    def from_dict(cls, document: object) -> Schedule:
        """Read a decoded document; errors as `from_json`."""
        check_plain(document, "schedule")
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"]) or "schedule"
            raise InvalidInput(f"{field}: {first['msg']}", field=field) from error

    @classmethod
    def load(cls, path: Path | str) -> Schedule:
        """Read a document from a file; errors as `from_json`, and `OSError`."""
        return cls.from_json(Path(path).read_bytes())

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return self.model_dump(mode="json")

    def to_json(self) -> str:
        """Indented JSON with every digit of every number, ending in a newline."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True, allow_nan=False) + "\n"

    @property
    def identity(self) -> str:
        """SHA-256 of what is run: model, solver, points and program, not how it was found."""
        parts = ("model", "solver", "points", "terminal", "architecture", "program")
        document = self.to_dict()
        return content_hash({part: document[part] for part in parts})

    @property
    def times(self) -> tuple[float, ...]:
        """Process times from noise to data, terminal included."""
        return self.points.t

    @property
    def process(self) -> VPDiscrete:
        """The model's noise process."""
        return process_from_description(self.model.process)

    def trace(self) -> Program:
        """The program to run."""
        return Program.from_dict(self.program)

    def sample(self, denoiser: Denoiser, x: Tensor) -> Tensor:
        """Run the program on start states of shape (B, C, H, W): unit normal noise.

        The denoiser must be made with the document's clipping and guidance.
        """
        from fewstep.running import run  # torch stays out of readers that only inspect documents

        return run(self.trace(), denoiser, x)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        """Levels and program must be those of the times."""
        if self.version.split(".")[0] != VERSION.split(".")[0]:
            raise InvalidInput(
                f"version={self.version!r}: unknown major; allowed: {VERSION.split('.')[0]}.x.y",
                field="version",
            )
        process = self.process
        traced = trace(
            self.points.t,
            process=process,
            solver=self.solver.name,
            options=self.solver.options,
        )
        _check_points(self.points, _points(self.points.t, process))
        _check_program(self.trace(), traced)
        if (self.solver.nfe, self.solver.steps) != (traced.nfe, len(self.points.t) - 1):
            raise InvalidInput(
                f"solver.nfe={self.solver.nfe}: the points take {traced.nfe} calls in "
                f"{len(self.points.t) - 1} steps",
                field="solver.nfe",
            )
        return self


def _plain(options: Mapping[str, OptionValue]) -> dict[str, Any]:
    """Options as JSON has them: lists for per-step ones."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in options.items()}


def json_schema() -> dict[str, Any]:
    """The published JSON Schema of the document."""
    return Schedule.model_json_schema(mode="serialization")


def _points(times: Sequence[float], process: Process) -> PointsSection:
    levels = [process.at(t) for t in times]
    return PointsSection(
        t=tuple(level.t for level in levels),
        s=tuple(level.rho for level in levels),
        lam=tuple(None if level.is_clean else level.lam for level in levels),
        k=tuple(_index(level.t, process) for level in levels),
        network_time=(*(process.network_time(level.t) for level in levels[:-1]), None),
    )


def _index(t: float, process: Process) -> int | None:
    if not isinstance(process, VPDiscrete):
        return None
    try:
        return process.index_of(t)
    except InvalidInput:
        return None


def _check_points(stored: PointsSection, computed: PointsSection) -> None:
    for name in PointsSection.model_fields:
        mine, theirs = getattr(computed, name), getattr(stored, name)
        if len(mine) != len(theirs):
            raise InvalidInput(
                f"points.{name}: {len(theirs)} values; allowed: {len(mine)}", field=f"points.{name}"
            )
        for i, (expected, value) in enumerate(zip(mine, theirs, strict=True)):
            if not _close(expected, value, LEVEL_TOLERANCE):
                raise InvalidInput(
                    f"points.{name}[{i}]={value!r}: the process has {expected!r} there",
                    field=f"points.{name}[{i}]",
                )


def _check_program(stored: Program, traced: Program) -> None:
    if stored.shape != traced.shape or stored.noise_terms != traced.noise_terms:
        raise InvalidInput("program: not what the solver does on these points", field="program")
    pairs = [
        *((a.input, b.input) for a, b in zip(stored.nodes, traced.nodes, strict=True)),
        (stored.output, traced.output),
    ]
    scale = max(1.0, traced.condition)
    for i, (mine, theirs) in enumerate(pairs):
        for source in {*mine, *theirs}:
            difference = abs(mine.get(source, 0.0) - theirs.get(source, 0.0))
            if difference > COEFFICIENT_TOLERANCE * scale:
                raise InvalidInput(
                    f"program: coefficient of {source} in combination {i} is "
                    f"{mine.get(source, 0.0)!r}, the solver gives {theirs.get(source, 0.0)!r}",
                    field="program",
                )
    for i, (node, other) in enumerate(zip(stored.nodes, traced.nodes, strict=True)):
        if not all(
            _close(a, b, LEVEL_TOLERANCE)
            for a, b in [
                (other.level.t, node.level.t),
                (other.level.alpha, node.level.alpha),
                (other.level.sigma, node.level.sigma),
            ]
        ):
            raise InvalidInput(
                f"program.nodes[{i}]: level {node.level} is not on the points", field="program"
            )


def _close(expected: float | None, value: float | None, tolerance: float) -> bool:
    if expected is None or value is None:
        return expected is value
    return math.isclose(expected, value, rel_tol=tolerance, abs_tol=1e-12)
