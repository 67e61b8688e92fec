"""What one `fewstep sample` runs, worked out and checked before anything is loaded.

Reads the model's card and traces the solver; needs no torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fewstep.commands.direct_options import (
    GUIDANCES,
    MEASURED,
    THROUGH_DENOISER,
    DirectOptions,
    Options,
    dlg_settings,
    solver_options,
    training_indices,
)
from fewstep.errors import ChecksFailed, InvalidInput, UnknownName
from fewstep.mcmc import DLGSettings, RelativeTimes
from fewstep.networks.card import ModelCard
from fewstep.networks.models import resolve
from fewstep.networks.pruning.documents import check_architecture, check_weights
from fewstep.process import VPDiscrete
from fewstep.program import Program, trace
from fewstep.request_options import count_steps, solver_of
from fewstep.schedule import Schedule
from fewstep.schedule_architecture import ArchitectureSection
from fewstep.schedule_chains import ChainsSection
from fewstep.solvers import SOLVERS, Solver
from fewstep.solvers.options import option_specs
from fewstep.spacing import SPACINGS, grid

DEFAULT_GRID = "log-snr"
START_CALLS = 20
# Of states x / alpha, which is how the bundled noise-level guides see them.
_DLG_SPACE = "vp-rescaled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chains:
    """Denoising MCMC.

    Attributes:
        settings: How chains move, what they emit.
        count: How many chains.
        start_calls: Denoiser calls of the clean images that chains start from.
        windows: Images of each chain before all are started anew; None: never.
        levels: Relative ones, where a document has them; None: those of the plan's times.
    """

    settings: DLGSettings
    count: int
    start_calls: int = START_CALLS
    windows: int | None = None
    levels: RelativeTimes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingPlan:
    """Everything that decides the images, but their number and the seed.

    Attributes:
        labels: Classes of the images, in turn; empty where none were given.
        guide: Name of the noisy-label guide; None: the card's.
        chains: Of denoising MCMC; None: every image starts from noise.
        architecture: Which network runs at each step; None: the model's own at all of them.
        weights: File of repaired tensors, where the architecture needs one.
    """

    card: ModelCard
    process: VPDiscrete
    solver: Solver
    options: Options
    times: tuple[float, ...]
    program: Program
    guidance: str = "none"
    scale: float = 1.0
    labels: tuple[int, ...] = ()
    condition: Path | None = None
    through_denoiser: bool = False
    is_clipped: bool = False
    guide: str | None = None
    chains: Chains | None = None
    architecture: ArchitectureSection | None = None
    weights: Path | None = None

    @property
    def indices(self) -> list[int | None]:
        """Training indices of the noisy times; None between two of them."""
        return [_index(self.process, t) for t in self.times if t > 0.0]


def plan_of_schedule(
    schedule: Schedule, *, roots: Sequence[Path], weights: Path | None = None
) -> SamplingPlan:
    """What a document says.

    Raises:
        UnknownName: no such model here.
        InvalidInput: the document's architecture does not fit the model, or the file of repaired
            tensors is missing or superfluous.
        ChecksFailed: the model's weights are not those the schedule was searched for, or the file
            is another.
    """
    model = schedule.model
    card = resolve(model.name, roots=roots)
    if card.weights_sha256 != model.checkpoint_sha256:
        raise ChecksFailed(
            f"model.checkpoint_sha256={model.checkpoint_sha256!r}: the weights of {card.name} here "
            f"are {card.weights_sha256!r}",
            field="model.checkpoint_sha256",
        )
    if model.guide is not None:
        _check_guide(card, model.guide.name, model.guide.sha256)
    _check_pruning(schedule, card, weights)
    return SamplingPlan(
        card=card,
        process=card.make_process(),
        solver=SOLVERS.get(schedule.solver.name),
        options=schedule.solver.options,
        times=schedule.times,
        program=schedule.trace(),
        guidance=model.guidance,
        scale=model.guidance_scale,
        is_clipped=model.clip_denoised,
        guide=None if model.guide is None else model.guide.name,
        # Scored so: each class in turn, for chains, too.
        labels=tuple(range(card.num_classes or 0)),
        chains=None if schedule.chains is None else _scheduled_chains(schedule.chains, card),
        architecture=schedule.architecture,
        weights=weights,
    )


def plan_of_options(direct: DirectOptions, *, roots: Sequence[Path]) -> SamplingPlan:
    """What the command line says.

    Raises:
        InvalidInput: an option is missing, unknown, not allowed, or does not go with another.
    """
    if direct.model is None or direct.solver is None:
        missing = "model" if direct.model is None else "solver"
        raise InvalidInput(
            f"--{missing}: missing; allowed: --schedule FILE, or --model and --solver with --nfe, "
            "--steps or --times",
            field=missing,
        )
    card, solver = resolve(direct.model, roots=roots), solver_of(direct.solver)
    process, guidance = card.make_process(), _guidance(direct)
    options = _options(direct, solver, guidance)
    times = _times(direct, solver, options, process)
    _check_condition(direct, guidance)
    if solver.is_split and guidance == "none":
        allowed = ", ".join(GUIDANCES[1:])
        raise InvalidInput(
            f"guidance='none': {solver.name} takes guidance in steps of its own; allowed: "
            f"{allowed}",
            field="guidance",
        )
    return SamplingPlan(
        card=card,
        process=process,
        solver=solver,
        options=options,
        times=times,
        program=trace(times, process=process, solver=solver.name, options=options),
        guidance=guidance,
        scale=_scale(direct, guidance),
        labels=_labels(direct.labels, card),
        condition=direct.condition,
        through_denoiser=direct.through_denoiser,
        is_clipped=card.clip_denoised if direct.clip is None else direct.clip,
        chains=None if direct.dlg is None else _chains(direct.dlg),
    )


def _check_pruning(schedule: Schedule, card: ModelCard, weights: Path | None) -> None:
    """The architecture, where there is one, is for this model, and its tensors are there."""
    if schedule.architecture is not None:
        check_architecture(schedule, card.unet_config())
        check_weights(schedule.architecture, weights)
    elif weights is not None:
        raise InvalidInput(
            f"--weights={str(weights)!r}: the schedule has no architecture; allowed: with pruned "
            "schedules",
            field="weights",
        )


def _guidance(direct: DirectOptions) -> str:
    """The kind that is meant: a scale alone means classifier-free guidance, as in requests."""
    if direct.guidance is None:
        return "none" if direct.guidance_scale in (None, 1.0) else "classifier-free"
    if direct.guidance not in GUIDANCES:
        raise UnknownName(
            f"guidance={direct.guidance!r}: no such guidance; allowed: {', '.join(GUIDANCES)}",
            field="guidance",
        )
    return direct.guidance


def _scale(direct: DirectOptions, guidance: str) -> float:
    scale = 1.0 if direct.guidance_scale is None else direct.guidance_scale
    if not (math.isfinite(scale) and scale >= 0.0):
        raise InvalidInput(
            f"guidance_scale={scale!r}: allowed: finite numbers from 0", field="guidance_scale"
        )
    if guidance == "none" and scale != 1.0:
        raise InvalidInput(
            f"guidance_scale={scale:g}: there is nothing to scale under guidance 'none'; "
            "allowed: 1",
            field="guidance_scale",
        )
    return scale


def _options(direct: DirectOptions, solver: Solver, guidance: str) -> Options:
    options = solver_options(direct.options)
    if not direct.impute:
        return options
    if "impute" not in option_specs(solver.options) or guidance not in MEASURED:
        able = [n for n in SOLVERS.names() if "impute" in option_specs(SOLVERS.get(n).options)]
        raise InvalidInput(
            f"--impute: not with solver {solver.name} under guidance {guidance!r}; allowed: "
            f"solvers {', '.join(able)} under {', '.join(MEASURED)}",
            field="impute",
        )
    return options | {"impute": True}


def _times(
    direct: DirectOptions, solver: Solver, options: Options, process: VPDiscrete
) -> tuple[float, ...]:
    """The grid: given by its indices, or named, with as many steps as were asked for."""
    counts = {"nfe": direct.nfe, "steps": direct.steps, "times": direct.times}
    given = [name for name, value in counts.items() if value is not None]
    if len(given) != 1:
        shown = ", ".join(f"{name}={counts[name]}" for name in given) or "nfe: missing"
        raise InvalidInput(f"{shown}: allowed: one of nfe, steps and times", field="nfe")
    if direct.times is not None:
        return _given_times(direct, direct.times, solver, options, process)
    asked = {n: c for n, c in (("nfe", direct.nfe), ("steps", direct.steps)) if c is not None}
    name, count = given[0], asked[given[0]]
    if not 1 <= count <= process.num_train_timesteps:
        most = process.num_train_timesteps
        raise InvalidInput(f"{name}={count}: allowed: 1 to {most}", field=name)
    steps = count_steps(solver, asked, options)["steps"]
    name = DEFAULT_GRID if direct.grid is None else direct.grid
    SPACINGS.get(name, field="grid")
    return grid(name, process, steps)


def _given_times(
    direct: DirectOptions, text: str, solver: Solver, options: Options, process: VPDiscrete
) -> tuple[float, ...]:
    if direct.grid is not None:
        raise InvalidInput(
            f"grid={direct.grid!r}: not with times; allowed: one of the two", field="grid"
        )
    indices, last = training_indices(text), process.num_train_timesteps - 1
    for index in (indices[0], indices[-1]):
        if not 0 <= index <= last:
            raise InvalidInput(f"times: {index} is no index; allowed: {last} to 0", field="times")
    count_steps(solver, {"steps": len(indices)}, options)  # options are checked, too
    return (*(process.time_of(index) for index in indices), 0.0)


def _check_condition(direct: DirectOptions, guidance: str) -> None:
    """A condition file where one is needed, and nothing that would be ignored."""
    if guidance in MEASURED and direct.condition is None:
        raise InvalidInput(
            f"--condition: missing; guidance {guidance!r} reads what is known from a safetensors "
            "file",
            field="condition",
        )
    if guidance not in MEASURED and direct.condition is not None:
        raise InvalidInput(
            f"--condition={str(direct.condition)!r}: nothing reads it under guidance {guidance!r}; "
            f"allowed: {', '.join(MEASURED)}",
            field="condition",
        )
    if direct.through_denoiser and guidance not in THROUGH_DENOISER:
        raise InvalidInput(
            f"--through-denoiser: not under guidance {guidance!r}; allowed: "
            f"{', '.join(THROUGH_DENOISER)}",
            field="through-denoiser",
        )


def _labels(labels: Sequence[int], card: ModelCard) -> tuple[int, ...]:
    for label in labels:
        if not 0 <= label < (card.num_classes or 0):
            allowed = f"0 to {card.num_classes - 1}" if card.num_classes else "none, no classes"
            raise InvalidInput(
                f"label={label}: no class of {card.name}; allowed: {allowed}", field="label"
            )
    return tuple(labels)


def _chains(text: str) -> Chains:
    settings, count = dlg_settings(text)
    with named_as_dlg():
        return Chains(settings=DLGSettings.from_dict({"space": _DLG_SPACE} | settings), count=count)


def _scheduled_chains(section: ChainsSection, card: ModelCard) -> Chains:
    _check_guide(card, section.guide.name, section.guide.sha256)
    return Chains(
        settings=DLGSettings.from_dict(section.settings),
        count=section.chains,
        start_calls=section.start.nfe,
        windows=section.windows,
        levels=section.schedule,
    )


@contextmanager
def named_as_dlg() -> Iterator[None]:
    """Errors of `settings.NAME` under the name that the command line has."""
    try:
        yield
    except InvalidInput as error:
        if error.field is None or not error.field.startswith("settings."):
            raise
        message = error.message.replace("settings.", "dlg.", 1).replace(
            "of eta,", "of chains, eta,"
        )
        field = error.field.replace("settings.", "dlg.", 1)
        raise InvalidInput(message, field=field) from None


def _check_guide(card: ModelCard, name: str, sha256: str) -> None:
    card.guide_path(name)
    if card.guides[name]["sha256"] != sha256:
        raise ChecksFailed(
            f"guide.sha256={sha256!r}: the guide {name!r} of {card.name} is "
            f"{card.guides[name]['sha256']!r}",
            field="guide.sha256",
        )


def _index(process: VPDiscrete, t: float) -> int | None:
    try:
        return process.index_of(t)
    except InvalidInput:
        return None
