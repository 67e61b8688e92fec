"""What a search over architectures asks before and beside scores, and keys to keep the answers.

Nothing here imports torch: the engine and the tables deal in these values alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from evaluators.banks import Bank
from evaluators.score import Scorer, Task
from fewstep.canonical import content_hash
from fewstep.errors import InvalidInput
from fewstep.guidance import Guidance
from fewstep.networks.pruning.architecture import Architecture, Repair
from fewstep.networks.pruning.blocks import PrunableBlock
from fewstep.networks.pruning.calibration_plan import CalibrationPlan
from fewstep.networks.pruning.configuration import NetworkConfiguration
from fewstep.process import Process
from fewstep.program import MAX_CONDITION, Program
from fewstep.solvers import Kind
from space.survey import Importance, Survey

# Part of the keys: raise them when a change of this code changes what is measured.
SURVEY_VERSION = 3  # 2: errors of reused bodies; 3: of what was repaired, in final images
SECONDS_VERSION = 1

CALIBRATION_BANK = Bank("calibration")

# What denoisers answer under each guidance, and which of it the network computes: a classifier's
# gradient runs the classifier alone, and nothing is called where what is known is put in.
_ANSWERED: dict[Guidance, frozenset[Kind]] = {
    "none": frozenset({"denoised", "base"}),
    "classifier-free": frozenset({"denoised", "base", "gradient", "impute"}),
    "classifier": frozenset({"denoised", "base", "gradient", "impute"}),
}
_BY_NETWORK: dict[Guidance, frozenset[Kind]] = {
    "none": frozenset({"denoised", "base"}),
    "classifier-free": frozenset({"denoised", "base", "gradient"}),
    "classifier": frozenset({"denoised", "base"}),
}


@runtime_checkable
class PruningScorer(Scorer, Protocol):
    """A scorer that measures networks, whatever executes it. Everything but seconds repeats."""

    @property
    def blocks(self) -> tuple[PrunableBlock, ...]:
        """What may be cut in the task's network, in execution order."""
        ...

    def survey(self, plan: CalibrationPlan, importance: Importance, repair: Repair) -> Survey:
        """Rank units and measure what the network's output loses by each cut, band by band.

        Raises:
            InvalidInput: the plan cannot be run for this task, or an unknown importance or repair.
            ScoringFailed: the machinery failed.
        """
        ...

    def device_name(self) -> str:
        """The chip on which workers compute."""
        ...

    def seconds(self, configurations: Sequence[NetworkConfiguration]) -> list[float]:
        """Seconds of one image of one network pass under each configuration, in their order.

        Medians over passes of `numerics.micro_batch` images, interleaved, so that drift of the
        clock or load hits all alike.

        Raises:
            InvalidInput: a configuration does not fit the network.
            ScoringFailed: the machinery failed.
        """
        ...

    def repaired(self, architecture: Architecture) -> bytes:
        """The tensors that the repair changes, as the file that `load_repair` reads.

        Scores of the architecture are those of networks with exactly these tensors.

        Raises:
            InvalidInput: the architecture does not fit the network, or asks for no repair.
            ScoringFailed: the machinery failed.
        """
        ...


def survey_key(task: Task, plan: CalibrationPlan, importance: Importance, repair: Repair) -> str:
    """The content hash of everything a survey depends on; scores' reference is no part of it."""
    values = task.canonical()
    del values["reference_sha256"], values["extractor"]
    return content_hash(
        {
            "survey_version": SURVEY_VERSION,
            "task": values,
            "calibration": plan.to_dict(),
            "importance": importance,
            "repair": repair,
            "noise": task.noise_bank(CALIBRATION_BANK).identity(),
        }
    )


def seconds_key(task: Task, device_name: str, configuration: NetworkConfiguration) -> str:
    """The content hash of what seconds depend on: neither weights nor guidance, but the chip."""
    return content_hash(
        {
            "seconds_version": SECONDS_VERSION,
            "definition_sha256": task.definition_sha256,
            "numerics": task.canonical()["numerics"],
            "device_name": device_name,
            "configuration": configuration.to_dict(),
        }
    )


def calibration_program(plan: CalibrationPlan, task: Task, process: Process) -> Program:
    """What a calibration runs, once it is sure that the task's denoiser can run it.

    Raises:
        InvalidInput: the times are no grid of the process, the solver asks what the task's guidance
            does not answer, a band has no call of the network, or rounding errors would grow.
    """
    program = plan.program(process)
    unanswered = {node.kind for node in program.nodes} - _ANSWERED[task.guidance]
    if unanswered:
        raise _bad(
            "solver",
            f"{plan.solver!r}: asks for {', '.join(sorted(unanswered))}, which guidance "
            f"{task.guidance!r} does not answer; allowed: solvers that do not split, or guidance",
        )
    for band, calls in enumerate(network_calls(program, plan, task.guidance)):
        if not calls:
            raise _bad(
                "solver",
                f"{plan.solver!r}: no call in band {band} of its steps runs the network under "
                f"guidance {task.guidance!r}; allowed: solvers that run it in each",
            )
    if program.condition > MAX_CONDITION:
        raise _bad(
            "times",
            f"{list(plan.times)}: condition {program.condition:.4g} of the program; allowed: up to "
            f"{MAX_CONDITION:g}",
        )
    return program


def network_calls(program: Program, plan: CalibrationPlan, guidance: Guidance) -> list[list[int]]:
    """For each band of a plan the numbers of its program's nodes that run the network."""
    return [
        [
            call
            for call, node in enumerate(program.nodes)
            if node.network == band and node.kind in _BY_NETWORK[guidance]
        ]
        for band in sorted(set(plan.band_of_step))
    ]


def _bad(where: str, what: str) -> InvalidInput:
    return InvalidInput(f"calibration.{where}={what}", field="calibration")
