"""What a searched front is held against: cuts by a rule, from the same schedule."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import fmean

from evaluators.measuring import PruningScorer
from fewstep.networks.card import ModelCard
from fewstep.networks.pruning.architecture import Architecture, Repair
from fewstep.networks.pruning.calibration_plan import CalibrationPlan
from fewstep.networks.pruning.configuration import BlockChoice, NetworkConfiguration
from fewstep.networks.pruning.macs import adm_macs
from search.journal import Journal
from search.measured import surveyed
from space.architecture_ladders import removable_names
from space.architectures import ArchitectureGenome, ArchitectureSpace
from space.candidate import Candidate
from space.survey import Importance

EIGHTHS = (7, 6, 5, 4)
REUSED_SHARES = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True)
class Start:
    """A searched schedule, and what measures cuts of its network."""

    candidate: Candidate
    scorer: PruningScorer
    journal: Journal
    card: ModelCard

    @property
    def calibration(self) -> CalibrationPlan:
        """On the states of the schedule itself."""
        candidate = self.candidate
        return CalibrationPlan(
            solver=candidate.solver, times=candidate.times, options=candidate.options
        )


def rivals(start: Start, method: str) -> dict[str, Candidate]:
    """The candidates of a method, dear ones first.

    `uniform`: all blocks to the same share of their units, by reconstruction error, refitted.
    `magnitude, no repair`: the same shares, by the norm of the weights, nothing refitted. `reuse`:
    every second step takes bodies from the step before, those first that err least per saving.
    """
    if method == "uniform":
        return _uniform(start, "reconstruction", "ridge")
    if method == "magnitude, no repair":
        return _uniform(start, "magnitude", "none")
    assert method == "reuse", method
    return _reuse(start)


def _uniform(start: Start, importance: Importance, repair: Repair) -> dict[str, Candidate]:
    calibration, blocks = start.calibration, start.scorer.blocks
    space = ArchitectureSpace(
        blocks=blocks,
        steps=calibration.steps,
        repair=repair,
        calibration=None if repair == "none" else calibration,
    )
    survey = surveyed(start.scorer, start.journal, calibration, importance, repair)
    found = {}
    for eighths in EIGHTHS:
        widths = tuple(ladder.place_of(eighths) for ladder in space.ladders)
        genome = ArchitectureGenome((widths,), (0,) * space.steps)
        architecture = space.decode(genome, survey.rankings).normalised(blocks, steps=space.steps)
        found[f"{eighths}/8 of all"] = replace(start.candidate, architecture=architecture)
    return found


def _reuse(start: Start) -> dict[str, Candidate]:
    names = _by_error_per_saving(start)
    steps, found = start.candidate.steps, {}
    for share in REUSED_SHARES:
        some = names[: max(1, round(share * len(names)))]
        reusing = NetworkConfiguration.of({name: BlockChoice("reused") for name in some})
        by_step = [reusing if step % 2 else NetworkConfiguration() for step in range(steps)]
        architecture = Architecture.of_steps(by_step)
        name = f"{len(some)} bodies reused"
        found[name] = replace(start.candidate, architecture=architecture)
    return found


def _by_error_per_saving(start: Start) -> list[str]:
    """Bodies, those first whose reuse changes the output least for what it saves."""
    calibration = start.calibration
    survey = surveyed(start.scorer, start.journal, calibration, "reconstruction", "none")
    names = removable_names(start.scorer.blocks)
    removed = NetworkConfiguration.of({name: BlockChoice("removed") for name in names})
    config, size = start.card.unet_config(), start.card.image_shape[1:]
    full = adm_macs(config, NetworkConfiguration(), size).parts
    bare = adm_macs(config, removed, size).parts

    def rate(name: str) -> float:
        error = fmean(b.reuse_errors[name] for b in survey.bands if name in b.reuse_errors)
        return error / (full[name].macs - bare[name].macs)

    return sorted(names, key=rate)
