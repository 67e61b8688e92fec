"""The part of a schedule document that says how its images are drawn from chains."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from fewstep.errors import InvalidInput
from fewstep.guidance import Guidance
from fewstep.mcmc.plan import START_GRID, START_SOLVER, ChainPlan
from fewstep.mcmc.relative import RelativeTimes, relative_times
from fewstep.mcmc.settings import DLGSettings
from fewstep.price import chain_cost
from fewstep.process.base import Process
from fewstep.spacing import grid

# How far stored shares, times and costs may be from those recomputed here.
TOLERANCE = 1e-9

_CONFIG = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class LevelGuideSection(BaseModel):
    """The classifier of noise levels that stands beside the model."""

    model_config = _CONFIG
    name: str
    sha256: str


class ChainStartSection(BaseModel):
    """The plain run, from unit normal noise, that gives each chain its clean start."""

    model_config = _CONFIG
    solver: str
    times: Annotated[tuple[float, ...], Field(min_length=2, max_length=1001)]
    nfe: int


class ChainsSection(BaseModel):
    """How images are drawn from chains and denoised from where these are.

    `settings` are those of `fewstep.mcmc.DLGSettings`; `relative_times` the schedule's levels as
    shares of the way from a chain's own; `chains` run side by side and give `windows` images each
    before they are started anew, as they were scored. `nfe` counts chain steps and denoising of one
    image, `cost` all of its calls in network passes, its share of start and burn-in included.
    """

    model_config = _CONFIG
    settings: dict[str, Any]
    relative_times: dict[str, Any]
    guide: LevelGuideSection
    chains: Annotated[int, Field(ge=1)]
    windows: Annotated[int, Field(ge=1)]
    start: ChainStartSection
    nfe: int
    cost: float

    @property
    def plan(self) -> ChainPlan:
        """What chains a candidate has.

        Raises:
            InvalidInput: a setting is not allowed.
        """
        settings = DLGSettings.from_dict(self.settings)
        return ChainPlan(
            eta=settings.eta,
            num_skip=settings.num_skip,
            chains=self.chains,
            burn_in=settings.burn_in,
            start_calls=self.start.nfe,
            gibbs=settings.gibbs,
            emission=settings.emission,
            adjust=settings.adjust,
        )

    @property
    def schedule(self) -> RelativeTimes:
        """The schedule relative to a chain's level."""
        return RelativeTimes.from_dict(self.relative_times)


def chains_section(
    plan: ChainPlan,
    times: Sequence[float],
    *,
    process: Process,
    guidance: Guidance,
    guide: LevelGuideSection,
    images: int,
    nfe: int,
    cost: float,
) -> ChainsSection:
    """The section of a schedule.

    Args:
        plan: Its chains.
        times: Its nominal times; the first is where chains are started.
        process: The model's noise process.
        guidance: What a prediction consists of.
        guide: The classifier of noise levels.
        images: What all chains give together before they are started anew.
        nfe: Denoiser calls of the schedule.
        cost: The same in network passes.
    """
    start = grid(START_GRID, process, plan.start_calls)
    each = chain_cost(1, guidance).passes
    return ChainsSection(
        settings=plan.settings(process.at(times[0]).rho).to_dict(),
        relative_times=relative_times(times, process).to_dict(),
        guide=guide,
        chains=plan.chains,
        windows=plan.windows(images),
        start=ChainStartSection(solver=START_SOLVER, times=start, nfe=plan.start_calls),
        nfe=plan.num_skip + nfe,
        cost=cost + each * plan.num_skip + each * plan.calls_beside(images),
    )


def check_section(stored: ChainsSection, computed: ChainsSection) -> None:
    """Refuse a section whose numbers are not those of its schedule.

    Raises:
        InvalidInput: names the field.
    """
    mine, theirs = computed.model_dump(mode="json"), stored.model_dump(mode="json")
    for name, value in mine.items():
        if not _agree(value, theirs[name]):
            raise InvalidInput(
                f"chains.{name}={theirs[name]!r}: the points make it {value!r}",
                field=f"chains.{name}",
            )


def _agree(mine: object, theirs: object) -> bool:
    """Equal, numbers up to rounding."""
    if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
        return mine.keys() == theirs.keys() and all(_agree(mine[k], theirs[k]) for k in mine)
    if isinstance(mine, list) and isinstance(theirs, list):
        return len(mine) == len(theirs) and all(map(_agree, mine, theirs))
    if isinstance(mine, float) and isinstance(theirs, int | float):
        return math.isclose(mine, theirs, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return mine == theirs
