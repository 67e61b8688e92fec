"""The part of a schedule document that says which network runs at each of its steps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fewstep.errors import InvalidInput
from fewstep.networks.pruning.architecture import MAX_CONFIGURATIONS, Architecture, Repair
from fewstep.networks.pruning.calibration_plan import CalibrationPlan
from fewstep.program import Program

_CONFIG = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

_Index = Annotated[int, Field(strict=True, ge=0)]
_Count = Annotated[int, Field(strict=True, gt=0)]


class CutSection(BaseModel):
    """A block of which some units run: `kept` are their indices, ascending."""

    model_config = _CONFIG
    mode: Literal["groups", "channels", "heads", "hidden"]
    kept: Annotated[tuple[_Index, ...], Field(min_length=1)]


class BodilessSection(BaseModel):
    """A block whose body does not run: it is left out, or taken from an earlier call."""

    model_config = _CONFIG
    mode: Literal["removed", "reused"]


ChoiceSection: TypeAlias = Annotated[CutSection | BodilessSection, Field(discriminator="mode")]


class CalibrationSection(BaseModel):
    """The states that a repair was fitted on: those of the full network under this schedule."""

    model_config = _CONFIG
    solver: str
    times: Annotated[tuple[float, ...], Field(min_length=2, max_length=1001)]
    options: dict[str, Any]
    num_images: _Count


class ArchitectureSection(BaseModel):
    """Which network runs at each step.

    `configurations` are the distinct ones, by first use: choices by block, blocks that are absent
    run in full. `of_step` names one for each step, `repair` what stands in for what was cut,
    `calibration` what that was fitted on, and `weights_sha256` the file of repaired tensors; both
    are null without a repair. `macs` are multiply-adds of one image over the schedule, passes of
    guidance included, `full_macs` those of the full network.
    """

    model_config = _CONFIG
    configurations: Annotated[
        tuple[dict[str, ChoiceSection], ...], Field(min_length=1, max_length=MAX_CONFIGURATIONS)
    ]
    of_step: Annotated[tuple[_Index, ...], Field(min_length=1, max_length=1000)]
    repair: Repair
    calibration: CalibrationSection | None
    weights_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None
    macs: _Count
    full_macs: _Count

    @classmethod
    def of(
        cls,
        architecture: Architecture,
        *,
        macs: int,
        full_macs: int,
        weights_sha256: str | None = None,
    ) -> ArchitectureSection:
        """What a document says of an architecture.

        Raises:
            InvalidInput: weights without a repair or the reverse, numbers that cannot be, or an
                architecture of the full network at every step, for which documents have null.
        """
        counts = {"macs": macs, "full_macs": full_macs, "weights_sha256": weights_sha256}
        try:
            return cls.model_validate(architecture.to_dict() | counts)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(("architecture", *(str(part) for part in first["loc"])))
            raise InvalidInput(f"{field}: {first['msg']}", field=field) from error

    def to_architecture(self) -> Architecture:
        """The architecture.

        Raises:
            InvalidInput: a part is not allowed; names its place in the document.
        """
        values = self.model_dump(mode="json", include=set(_OWN))
        if self.calibration is not None:
            try:
                CalibrationPlan.from_dict(values["calibration"])
            except InvalidInput as error:
                field = "architecture.calibration"
                raise InvalidInput(f"{field}: {error.message}", field=field) from error
        try:
            return Architecture.from_dict(values)
        except InvalidInput as error:  # its messages start with the place: architecture.X=value
            raise InvalidInput(error.message, field=error.message.partition("=")[0]) from error

    @property
    def share(self) -> float:
        """Multiply-adds, as a share of what the full network takes."""
        return self.macs / self.full_macs

    @model_validator(mode="after")
    def _agree(self) -> Self:
        """The parts fit together, and are in the one form that a content hash is taken of."""
        _check_repair(self)
        if self.macs > self.full_macs:
            allowed = f"up to full_macs={self.full_macs}"
            raise _bad("macs", self.macs, allowed)
        for place, choices in enumerate(self.configurations):
            for name, choice in choices.items():
                _check_ascending(f"configurations[{place}].{name}.kept", choice)
        if not any(self.configurations):
            raise _bad("configurations", [{}], "one that cuts; for the full network, null")
        mine, canonical = self.model_dump(mode="json"), self.to_architecture().to_dict()
        for part in _OWN:
            if mine[part] != canonical[part]:
                allowed = f"its canonical form, {canonical[part]!r}"
                raise _bad(part, mine[part], allowed)
        return self


# What an `Architecture` says itself, in the order in which it is held against the document.
_OWN = ("of_step", "configurations", "repair", "calibration")


def with_architecture(
    program: Program, times: Sequence[float], section: ArchitectureSection | None
) -> Program:
    """A traced program with the network of each node.

    Raises:
        InvalidInput: the architecture is for another number of steps.
    """
    if section is None:
        return program
    steps = len(times) - 1
    if len(section.of_step) != steps:
        allowed = f"one for each of {steps} steps"
        raise _bad("of_step", f"{len(section.of_step)} entries", allowed)
    return program.with_networks(times, section.of_step)


def check_denoisers(section: ArchitectureSection | None, given: int | None) -> None:
    """Refuse another number of denoisers than a schedule runs.

    Args:
        section: None: the full network at every step.
        given: how many there are in a sequence; None: one that is in none.

    Raises:
        InvalidInput: says how many are needed.
    """
    if section is None:
        if given not in (None, 1):
            raise InvalidInput(
                f"denoiser: {given} of them; allowed: one, the schedule has no architecture",
                field="denoiser",
            )
        return
    count = len(section.configurations)
    if given != count:
        raise InvalidInput(
            f"denoiser: {'no sequence' if given is None else f'{given} of them'}; allowed: a "
            f"sequence of {count}, one for each configuration of the schedule's architecture; "
            "fewstep.load_pruned makes them",
            field="denoiser",
        )


def _check_repair(section: ArchitectureSection) -> None:
    """A calibration and a file of tensors with a repair, and neither without."""
    for part in ("calibration", "weights_sha256"):
        if (getattr(section, part) is None) != (section.repair == "none"):
            what = "null" if section.repair == "none" else "given"
            value = section.model_dump(mode="json")[part]
            raise _bad(part, value, f"{what} with repair {section.repair!r}")


def _check_ascending(where: str, choice: CutSection | BodilessSection) -> None:
    kept = choice.kept if isinstance(choice, CutSection) else ()
    for place, (index, following) in enumerate(pairwise(kept), start=1):
        if following <= index:
            raise _bad(f"{where}[{place}]", following, f"more than {index}: ascending")


def _bad(where: str, what: object, allowed: str) -> InvalidInput:
    field = f"architecture.{where}"
    return InvalidInput(f"{field}={what!r}; allowed: {allowed}", field=field)
