"""What one worker is asked beside features, as values that travel to where it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from fewstep.networks.pruning.architecture import Architecture, Repair
from fewstep.networks.pruning.calibration_plan import CalibrationPlan
from fewstep.networks.pruning.configuration import NetworkConfiguration
from space.survey import Importance, Survey

Answer_co = TypeVar("Answer_co", covariant=True)
Answer = TypeVar("Answer")


class Worker(Protocol):
    """What holds the network; see `evaluators.measuring.PruningScorer` for what each returns."""

    def survey(self, plan: CalibrationPlan, importance: Importance, repair: Repair) -> Survey:
        """Rankings and errors, band by band."""
        ...

    def device_name(self) -> str:
        """The chip it computes on."""
        ...

    def seconds(self, configurations: Sequence[NetworkConfiguration]) -> list[float]:
        """Of one image of one network pass."""
        ...

    def repaired(self, architecture: Architecture) -> bytes:
        """The repair's file."""
        ...


class Question(Protocol[Answer_co]):
    """Something that a worker answers."""

    def answer(self, worker: Worker) -> Answer_co:
        """Ask a worker in its own process."""
        ...


@dataclass(frozen=True, slots=True)
class SurveyQuestion:
    """For a survey."""

    plan: CalibrationPlan
    importance: Importance
    repair: Repair

    def answer(self, worker: Worker) -> Survey:
        """The survey."""
        return worker.survey(self.plan, self.importance, self.repair)


@dataclass(frozen=True, slots=True)
class DeviceQuestion:
    """For the chip."""

    def answer(self, worker: Worker) -> str:
        """Its name."""
        return worker.device_name()


@dataclass(frozen=True, slots=True)
class SecondsQuestion:
    """For times of configurations."""

    configurations: tuple[NetworkConfiguration, ...]

    def answer(self, worker: Worker) -> list[float]:
        """Seconds, in their order."""
        return worker.seconds(self.configurations)


@dataclass(frozen=True, slots=True)
class RepairQuestion:
    """For what an architecture's repair changes."""

    architecture: Architecture

    def answer(self, worker: Worker) -> bytes:
        """The file."""
        return worker.repaired(self.architecture)
