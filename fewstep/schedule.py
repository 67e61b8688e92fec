"""The schedule document: what a search hands back and every sampler can reuse."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fewstep.canonical import content_hash
from fewstep.errors import InvalidInput
from fewstep.guidance import Cost, Guidance, cost_of
from fewstep.mcmc.plan import ChainPlan
from fewstep.plain_json import check_plain
from fewstep.process import Process, process_from_description
from fewstep.program import Program, trace
from fewstep.schedule_agreement import PointsSection, check_points, check_program, points_of
from fewstep.schedule_architecture import (
    ArchitectureSection,
    check_denoisers,
    with_architecture,
)
from fewstep.schedule_chains import (
    ChainsSection,
    LevelGuideSection,
    chains_section,
    check_section,
)
from fewstep.schedule_solver import SolverSection, check_counts, solver_section
from fewstep.solvers import Kind

if TYPE_CHECKING:
    from torch import Tensor

    from fewstep.denoisers import Denoiser
    from fewstep.mcmc.draws import Draws
    from fewstep.mcmc.posterior import NoiseLevelPosterior
    from fewstep.mcmc.sampling import DLGResult

FORMAT = "fewstep-schedule"
VERSION = "1.3.0"

# Fields that follow from others: no part of the identity.
_DERIVED_FIELDS = {
    "solver": ("gradient_calls", "cost"),  # which documents before 1.2 lack
    "architecture": ("macs", "full_macs"),
}

_CONFIG = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class GuideSection(BaseModel):
    """The small network beside the model whose gradient guides; `gradient_cost` in passes."""

    model_config = _CONFIG
    name: str
    sha256: str
    gradient_cost: Annotated[float, Field(ge=0.0)]


class ModelSection(BaseModel):
    """The model a schedule was searched for; times mean nothing without it.

    `guide` is there under classifier guidance alone.
    """

    model_config = _CONFIG
    name: str
    prediction: Literal["noise", "denoised", "velocity"]
    checkpoint_sha256: str
    image_shape: tuple[int, int, int]
    process: dict[str, Any]
    num_classes: int | None = None
    guidance: Guidance = "none"
    guidance_scale: float = 1.0
    guide: GuideSection | None = None
    clip_denoised: bool = False

    @model_validator(mode="after")
    def _has_its_guide(self) -> Self:
        """Classifier guidance names its guide, other guidance has none."""
        if (self.guidance == "classifier") != (self.guide is not None):
            raise InvalidInput(
                f"model.guide={self.guide!r}: under guidance {self.guidance!r}; allowed: a guide "
                "under 'classifier', null under any other",
                field="model.guide",
            )
        return self

    def cost_of(self, program: Program) -> Cost:
        """Network passes and gradients of one image."""
        return cost_of(cast("dict[Kind, int]", program.calls), self.guidance)

    def in_passes(self, cost: Cost) -> float:
        """A cost as network passes."""
        return cost.in_passes(0.0 if self.guide is None else self.guide.gradient_cost)


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
    architecture: ArchitectureSection | None = None
    program: dict[str, Any]
    chains: ChainsSection | None = None
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
        architecture: ArchitectureSection | None = None,
        fitness: dict[str, Any] | None = None,
        provenance: dict[str, Any] | None = None,
    ) -> Schedule:
        """The document of a grid, with its levels and its program worked out.

        The architecture is taken as it is: `fewstep.networks.pruning.documents` makes one that says
        what it costs, or None where it keeps everything.

        Raises:
            InvalidInput: the times are no grid of the model's process, an option is not allowed, or
                the architecture is for another number of steps.
        """
        process = process_from_description(model.process)
        traced = trace(times, process=process, solver=solver, options=options)
        program = with_architecture(traced, times, architecture)
        cost = model.cost_of(program)
        is_clean = process.at(times[-1]).is_clean
        return cls(
            model=model,
            solver=solver_section(
                program,
                solver=solver,
                options=options,
                steps=len(times) - 1,
                process=process,
                is_clean=is_clean,
                cost=cost,
                in_passes=model.in_passes(cost),
            ),
            points=points_of(times, process),
            terminal="zero" if is_clean else "value",
            architecture=architecture,
            program=program.to_dict(),
            fitness=fitness or {},
            provenance=provenance or {},
        )

    def with_chains(self, plan: ChainPlan, *, guide: LevelGuideSection, images: int) -> Schedule:
        """The document of images that are drawn from chains, its points those of a nominal chain.

        Args:
            plan: The chains.
            guide: The classifier of noise levels beside the model.
            images: What all chains give together before they are started anew.

        Raises:
            InvalidInput: the images cannot be shared out over the chains, or the networks of its
                steps are pruned.
        """
        self._refuse_pruned_chains()
        section = self._chains_section(plan, guide, images)
        return self.model_copy(update={"chains": section})

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
        parts: tuple[str, ...] = (
            "model",
            "solver",
            "points",
            "terminal",
            "architecture",
            "program",
        )
        document = self.to_dict()
        for part, names in _DERIVED_FIELDS.items():
            for name in names if document[part] is not None else ():
                del document[part][name]
        if self.model.guide is None:
            del document["model"]["guide"]
        if self.chains is not None:
            parts += ("chains",)
        return content_hash({part: document[part] for part in parts})

    @property
    def nfe(self) -> int:
        """Denoiser calls of one image, chain steps included."""
        return self.solver.nfe if self.chains is None else self.chains.nfe

    @property
    def times(self) -> tuple[float, ...]:
        """Process times from noise to data, terminal included."""
        return self.points.t

    @property
    def process(self) -> Process:
        """The model's noise process."""
        return process_from_description(self.model.process)

    def trace(self) -> Program:
        """The program to run."""
        return Program.from_dict(self.program)

    def sample(self, denoiser: Denoiser | Sequence[Denoiser], x: Tensor) -> Tensor:
        """Run the program on start states of shape (B, C, H, W): noise as `initial_noise` says.

        Args:
            denoiser: made with the document's clipping and guidance; for a pruned schedule one for
                each configuration, in their order, as `fewstep.load_pruned` gives them.
            x: start states.

        Raises:
            InvalidInput: another number of denoisers, or the images are drawn from chains, see
                `sample_chains`.
        """
        from fewstep.running import run  # torch stays out of readers that only inspect documents

        if self.chains is not None:
            raise InvalidInput(
                "chains: images of this schedule are drawn from chains, not from noise; allowed: "
                "Schedule.sample_chains, or fewstep.mcmc.sampling.sample_with_dlg",
                field="chains",
            )
        check_denoisers(
            self.architecture, len(denoiser) if isinstance(denoiser, Sequence) else None
        )
        return run(self.trace(), denoiser, x)

    def sample_chains(
        self,
        denoiser: Denoiser,
        posterior: NoiseLevelPosterior,
        x: Tensor,
        *,
        count: int,
        draws: Draws,
    ) -> DLGResult:
        """Draw `count` images from chains; see `fewstep.mcmc.scheduled.sample_chains`."""
        from fewstep.mcmc.scheduled import sample_chains

        return sample_chains(self, denoiser, posterior, x, count=count, draws=draws)

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
        traced = with_architecture(traced, self.points.t, self.architecture)
        check_points(self.points, points_of(self.points.t, process))
        check_program(self.trace(), traced)
        cost = self.model.cost_of(traced)
        check_counts(
            self.solver,
            traced,
            steps=len(self.points.t) - 1,
            cost=cost,
            in_passes=self.model.in_passes(cost),
        )
        if self.chains is not None:
            self._refuse_pruned_chains()
            stored, images = self.chains, self.chains.chains * self.chains.windows
            check_section(stored, self._chains_section(stored.plan, stored.guide, images))
        return self

    def _refuse_pruned_chains(self) -> None:
        if self.architecture is not None:
            raise InvalidInput(
                "chains: not with an architecture, whose steps are those of a way from noise; "
                "allowed: one of the two",
                field="chains",
            )

    def _chains_section(
        self, plan: ChainPlan, guide: LevelGuideSection, images: int
    ) -> ChainsSection:
        """What the document must say of these chains."""
        return chains_section(
            plan,
            self.points.t,
            process=self.process,
            guidance=self.model.guidance,
            guide=guide,
            images=images,
            nfe=self.solver.nfe,
            cost=self.model.in_passes(self.model.cost_of(self.trace())),
        )


def json_schema() -> dict[str, Any]:
    """The published JSON Schema of the document."""
    return Schedule.model_json_schema(mode="serialization")
