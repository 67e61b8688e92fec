"""Which network runs at each step of a schedule: at most a few configurations, and their steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from fewstep.canonical import content_hash
from fewstep.errors import InvalidInput
from fewstep.networks.pruning.blocks import PrunableBlock
from fewstep.networks.pruning.calibration_plan import CalibrationPlan
from fewstep.networks.pruning.configuration import NetworkConfiguration

Repair = Literal["none", "bias", "ridge"]
REPAIRS: tuple[Repair, ...] = get_args(Repair)
# Every distinct network is a copy of what was cut, and a graph of its own where one is compiled.
MAX_CONFIGURATIONS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """Configurations and the step that each runs at, in canonical order: by first use.

    Attributes:
        configurations: The distinct ones; an empty one is the full network.
        of_step: For each step of the schedule, the place of its configuration.
        repair: What stands in for what was cut. "bias": its mean enters the next bias, and a
            removed body becomes its mean. "ridge": the weights that are kept are fitted to give
            what all gave before, by least squares.
        calibration: Which states the moments that a repair needs are taken on; None without one.

    Raises:
        InvalidInput: more configurations than are allowed, equal ones, one that no step uses, a
            step without one, or a repair without a calibration of as many steps, or the reverse.
    """

    configurations: tuple[NetworkConfiguration, ...]
    of_step: tuple[int, ...]
    repair: Repair = "none"
    calibration: CalibrationPlan | None = None

    def __post_init__(self) -> None:
        if self.repair not in REPAIRS:
            raise _bad("repair", self.repair, ", ".join(REPAIRS))
        _check_calibration(self)
        count = len(self.configurations)
        if not 1 <= count <= MAX_CONFIGURATIONS:
            raise _bad("configurations", count, f"1 to {MAX_CONFIGURATIONS} of them")
        for step, place in enumerate(self.of_step):
            if type(place) is not int or not 0 <= place < count:
                raise _bad(f"of_step[{step}]", place, f"an integer from 0 to {count - 1}")
        if len(set(self.configurations)) < count or set(self.of_step) != set(range(count)):
            raise _bad("configurations", count, "distinct ones, each used by a step")
        order = list(dict.fromkeys(self.of_step))
        if order != sorted(order):
            by_use = tuple(self.configurations[place] for place in order)
            object.__setattr__(self, "of_step", tuple(order.index(p) for p in self.of_step))
            object.__setattr__(self, "configurations", by_use)

    @classmethod
    def of_steps(
        cls,
        configurations: Sequence[NetworkConfiguration],
        *,
        repair: Repair = "none",
        calibration: CalibrationPlan | None = None,
    ) -> Architecture:
        """Build from one configuration per step; equal ones are kept once."""
        distinct = tuple(dict.fromkeys(configurations))
        places = tuple(distinct.index(configuration) for configuration in configurations)
        return cls(configurations=distinct, of_step=places, repair=repair, calibration=calibration)

    @classmethod
    def from_dict(cls, values: object) -> Architecture:
        """Read what `to_dict` wrote.

        Raises:
            InvalidInput: a field is missing, unknown or not allowed.
        """
        fields = {"configurations", "of_step", "repair", "calibration"}
        if not isinstance(values, Mapping) or set(values) != fields:
            raise _bad("fields", values, f"an object with {', '.join(sorted(fields))}")
        configurations, of_step = values["configurations"], values["of_step"]
        if not isinstance(configurations, list | tuple) or not isinstance(of_step, list | tuple):
            raise _bad("configurations, of_step", values, "lists")
        return cls(
            configurations=tuple(NetworkConfiguration.from_dict(c) for c in configurations),
            of_step=tuple(of_step),
            repair=values["repair"],
            calibration=_calibration_of(values["calibration"]),
        )

    def to_dict(self) -> dict[str, object]:
        """JSON-ready fields."""
        return {
            "configurations": [configuration.to_dict() for configuration in self.configurations],
            "of_step": list(self.of_step),
            "repair": self.repair,
            "calibration": None if self.calibration is None else self.calibration.to_dict(),
        }

    @property
    def content_hash(self) -> str:
        """SHA-256 of the canonical JSON."""
        return content_hash(self.to_dict())

    def at(self, step: int) -> NetworkConfiguration:
        """The configuration of a step."""
        return self.configurations[self.of_step[step]]

    def normalised(self, blocks: Sequence[PrunableBlock], *, steps: int) -> Architecture | None:
        """The same without choices that keep everything; None where every step is the full network.

        Raises:
            InvalidInput: it is for another number of steps, a choice does not fit its block, or a
                step reuses a body that no step before it runs.
        """
        if len(self.of_step) != steps:
            raise _bad("of_step", f"{len(self.of_step)} entries", f"one for each of {steps} steps")
        plain = [configuration.normalised(blocks) for configuration in self.configurations]
        by_step = [plain[place] for place in self.of_step]
        for step, configuration in enumerate(by_step):
            for name in sorted(configuration.reused):
                if not any(_runs(earlier, name) for earlier in by_step[:step]):
                    allowed = "after a step that runs the body"
                    raise _bad(f"{name}.mode at step {step}", "reused", allowed)
        if not any(configuration.choices for configuration in by_step):
            return None
        return Architecture.of_steps(by_step, repair=self.repair, calibration=self.calibration)

    def bands_of(self, configuration: int) -> tuple[int, ...]:
        """The calibration's bands at which a configuration runs; none without a calibration."""
        if self.calibration is None:
            return ()
        bands = zip(self.calibration.band_of_step, self.of_step, strict=True)
        return tuple(sorted({band for band, place in bands if place == configuration}))


def _calibration_of(values: object) -> CalibrationPlan | None:
    return None if values is None else CalibrationPlan.from_dict(values)


def _check_calibration(architecture: Architecture) -> None:
    plan, repair = architecture.calibration, architecture.repair
    if (plan is None) != (repair == "none"):
        allowed = f"{'null' if repair == 'none' else 'an object'} with repair {repair!r}"
        raise _bad("calibration", None if plan is None else plan.to_dict(), allowed)
    steps = len(architecture.of_step)
    if plan is not None and plan.steps != steps:
        raise _bad("calibration.times", f"{plan.steps} steps", f"as many as of_step, {steps}")


def _runs(configuration: NetworkConfiguration, name: str) -> bool:
    choice = configuration.get(name)
    return choice is None or choice.has_body


def _bad(where: str, what: object, allowed: str) -> InvalidInput:
    return InvalidInput(f"architecture.{where}={what!r}; allowed: {allowed}", field="architecture")
