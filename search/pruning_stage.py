"""Stage 2 of a search: from its best schedules to a front of pruned networks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evaluators.measuring import PruningScorer
from fewstep.networks.pruning.calibration_plan import CalibrationPlan
from fewstep.networks.pruning.schedule_macs import configurations_of_steps, passes_of_steps
from fewstep.program import trace
from fewstep.request import MIN_FIDELITY
from fewstep.request_pruning import PruningRequest
from fewstep.solvers import SOLVERS
from search.conductor import Conductor
from search.journal import Journal
from search.measured import measured_seconds, surveyed
from search.plan import SELECTION_SHARE, Plan
from search.pruning import prune
from search.pruning_plan import PruningPlan
from search.pruning_seconds import configurations_to_measure, costs_of_seconds
from search.selection import select
from space.architecture_cost import GenomeCosts
from space.architecture_ladders import removable_names
from space.architecture_limits import BoundedSpace
from space.architectures import ArchitectureSpace
from space.candidate import Candidate

if TYPE_CHECKING:
    from fewstep.networks.card import ModelCard


@dataclass(frozen=True, slots=True)
class Stage:
    """Stage 2 of one search.

    What is cut is measured and repaired on the states of the first base.

    Attributes:
        pruning: What is asked for.
        plan: Of stage 1.
        bases: Schedules of stage 1, its winner first.
        scorer: Measures networks.
        journal: Keeps what was measured.
        card: The model's.
        budget: Network calls that may be spent.
    """

    pruning: PruningRequest
    plan: Plan
    bases: tuple[Candidate, ...]
    scorer: PruningScorer
    journal: Journal
    card: ModelCard
    budget: int

    @property
    def has_limit(self) -> bool:
        """Whether the best within a cost is searched, instead of a whole front."""
        return self.pruning.cost is not None

    def candidates(self, conductor: Conductor) -> list[Candidate]:
        """Pruned candidates, dear ones first; under a limit the one that is best within it.

        Raises:
            InvalidInput: no architecture meets the limits, or the budget pays for nothing.
            ScoringFailed: the machinery failed, or every candidate did.
            Cancelled, LeaseLost: from the journal.
        """
        finalists, images = self._selection()
        reserved = finalists * self.plan.calls_for(images)
        points = conductor.conduct("pruning", prune(self._plan(self.budget - reserved))).points
        cut = [point for point in points if point.candidate.architecture is not None]
        if not self.has_limit:
            return [point.candidate for point in sorted(cut, key=lambda point: -point.share)]
        within = replace(self.plan, selection_images=images)
        best = [point.candidate for point in cut][:finalists]
        return [conductor.conduct("selection", select(within, best))]

    def seconds(self, candidate: Candidate) -> float | None:
        """Measured seconds of one image, of its own networks; None where none are asked for."""
        if self.pruning.objective != "seconds":
            return None
        passes = self._passes(candidate)
        configurations = configurations_of_steps(candidate.architecture, candidate.steps)
        distinct = list(dict.fromkeys(configurations))
        measured = measured_seconds(self.scorer, self.journal, distinct)
        each = dict(zip(distinct, measured, strict=True))
        pairs = zip(passes, configurations, strict=True)
        return sum(count * each[configuration] for count, configuration in pairs)

    def _selection(self) -> tuple[int, int]:
        """(finalists, images each) compared on the selection bank; a front needs none."""
        if not self.has_limit:
            return 0, 0
        plan = self.plan
        share = int(int(SELECTION_SHARE * self.budget) // plan.calls_per_image)
        finalists = min(self.pruning.points, share // MIN_FIDELITY)
        if finalists < 2:
            return 1, 0
        images = share // finalists // MIN_FIDELITY * MIN_FIDELITY
        return finalists, min(images, max(plan.fidelities))

    def _plan(self, budget: int) -> PruningPlan:
        """What the engine needs to know, measured where it must be."""
        plan, pruning, best = self.plan, self.pruning, self.bases[0]
        calibration = CalibrationPlan(
            solver=best.solver,
            times=best.times,
            options=best.options,
            num_images=pruning.calibration_images,
        )
        space = self._space(calibration)
        least = 1.0 - pruning.max_saving if pruning.cost is None else 0.0
        most = 1.0 if pruning.cost is None else pruning.cost
        return PruningPlan(
            bounded=BoundedSpace(space=space, costs=self._costs(space), least=least, most=most),
            bases=self.bases,
            times=plan.space,
            survey=surveyed(
                self.scorer, self.journal, calibration, pruning.importance, pruning.repair
            ),
            fidelities=plan.fidelities,
            budget=budget,
            price=plan.price,
            calls_per_image=plan.calls_per_image,
            num_points=pruning.points,
            seed=plan.seed,
        )

    def _space(self, calibration: CalibrationPlan) -> ArchitectureSpace:
        """All that may be cut."""
        pruning, blocks = self.pruning, self.scorer.blocks
        bodies, guidance = removable_names(blocks), self.plan.price.guidance
        may_reuse = pruning.may_reuse(guidance=guidance, solver=SOLVERS.get(self.plan.space.solver))
        return ArchitectureSpace(
            blocks=blocks,
            steps=calibration.steps,
            mode=pruning.mode,
            removable=bodies if pruning.remove else (),
            reusable=bodies if may_reuse else (),
            repair=pruning.repair,
            calibration=None if pruning.repair == "none" else calibration,
        )

    def _costs(self, space: ArchitectureSpace) -> GenomeCosts:
        """Multiply-adds, or seconds from what was measured, of one image."""
        passes = self._passes(self.bases[0])
        if self.pruning.objective == "seconds":
            configurations = configurations_to_measure(space)
            seconds = measured_seconds(self.scorer, self.journal, configurations)
            return costs_of_seconds(space, dict(zip(configurations, seconds, strict=True)), passes)
        config = self.card.unet_config()
        run = replace(config, out_channels=config.in_channels)  # no variance is predicted
        return GenomeCosts.of_adm(space, run, self.card.image_shape[1:], passes=passes)

    def _passes(self, candidate: Candidate) -> tuple[int, ...]:
        """Network passes of one image at each step."""
        program = trace(
            candidate.times,
            process=self.plan.space.process,
            solver=candidate.solver,
            options=dict(candidate.options),
        )
        return passes_of_steps(program, candidate.times, self.plan.price.guidance)
