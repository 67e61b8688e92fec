"""What a search hands back: its schedules as documents, and the table that reports them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluators.measuring import PruningScorer
from evaluators.score import Scorer
from fewstep.networks.guidance import label_guide, level_guide
from fewstep.networks.pruning.documents import architecture_section
from fewstep.request import SearchRequest
from fewstep.schedule import ModelSection, Schedule
from fewstep.schedule_architecture import ArchitectureSection
from search.plan import Plan
from search.report import ReportRow
from search.strategy import Best
from space.candidate import Candidate

if TYPE_CHECKING:
    from fewstep.networks.card import ModelCard


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSchedule:
    """A schedule that is handed back.

    Attributes:
        document: As plain JSON values.
        weights: The file of repaired tensors that its networks need; None where there is none.
        seconds: Of one image, where the search measured them.
    """

    document: dict[str, object]
    weights: bytes | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """What a search hands back.

    Attributes:
        schedules: The best, then the rest of its front.
        report: The report table, as plain JSON values: `rows`, searched first.
        calls: Network calls of all phases before the report.
    """

    schedules: tuple[FoundSchedule, ...]
    report: dict[str, object]
    calls: int

    @property
    def schedule(self) -> dict[str, object]:
        """The document of the best."""
        return self.schedules[0].document


@dataclass(frozen=True, slots=True)
class Documents:
    """Turns reported rows into documents, and into the table."""

    request: SearchRequest
    scorer: Scorer
    card: ModelCard

    def found(self, row: ReportRow, *, calls: int, seconds: float | None = None) -> FoundSchedule:
        """A schedule with where it comes from; no clock, so equal searches are equal.

        Args:
            row: Its numbers on the report bank.
            calls: Network calls of the search.
            seconds: Of one image, where they were measured.
        """
        request, candidate = self.request, row.candidate
        weights = self._weights(candidate)
        sha256 = None if weights is None else hashlib.sha256(weights).hexdigest()
        schedule = Schedule.build(
            candidate.times,
            model=self._model(),
            solver=candidate.solver,
            options=dict(candidate.options),
            architecture=self._section(candidate, sha256),
            fitness=self._fitness(row),
            provenance={
                "strategy": request.strategy,
                "seed": request.seed,
                "network_calls": calls,
                "request": request.resolved(),
            },
        )
        plan = candidate.chain_plan
        if plan is not None:
            images = self.scorer.task.numerics.micro_batch
            schedule = schedule.with_chains(plan, guide=level_guide(self.card), images=images)
        return FoundSchedule(document=schedule.to_dict(), weights=weights, seconds=seconds)

    def _weights(self, candidate: Candidate) -> bytes | None:
        """The file of a candidate's repaired tensors."""
        architecture = candidate.architecture
        if architecture is None or architecture.repair == "none":
            return None
        assert isinstance(self.scorer, PruningScorer), "it has scored pruned networks"
        return self.scorer.repaired(architecture)

    def _section(
        self, candidate: Candidate, weights_sha256: str | None
    ) -> ArchitectureSection | None:
        """What a document says of a candidate's networks; None for the full one."""
        if candidate.architecture is None:
            return None
        return architecture_section(
            candidate.architecture,
            self.card.unet_config(),
            model=self._model(),
            times=candidate.times,
            solver=candidate.solver,
            options=dict(candidate.options),
            weights_sha256=weights_sha256,
        )

    def report(
        self,
        plan: Plan,
        rows: Sequence[ReportRow],
        history: Sequence[Best],
        *,
        calls: int,
        shares: Mapping[Candidate, float],
    ) -> dict[str, object]:
        """The table, and the way there.

        Args:
            plan: What the request meant.
            rows: Searched first.
            history: The best so far, over the first phase.
            calls: Network calls of the search.
            shares: What pruned candidates cost of the full network's multiply-adds.
        """
        request = self.request
        dlg = {} if request.dlg is None else {"dlg": request.dlg.model_dump(mode="json")}
        pruning = request.pruning
        cut = {} if pruning is None else {"pruning": pruning.model_dump(mode="json")}
        return {
            "model": request.model,
            "solver": plan.space.solver,
            "solver_options": request.solver_options,
            "search_options": list(request.search_options),
            "guidance": request.guidance,
            "guidance_scale": request.guidance_scale,
            **dlg,
            **cut,
            "nfe": request.nfe,
            "steps": request.steps,
            "strategy": request.strategy,
            "seed": request.seed,
            "calls": calls,
            "budget": request.budget,
            "num_samples": request.report_images,
            "sets": request.report_sets,
            "rows": [
                row.to_dict(plan.space, plan.price, cost_share=shares.get(row.candidate))
                for row in rows
            ],
            "history": [
                {"calls": best.calls, "fid": best.fid, "num_samples": best.num_samples}
                for best in history
            ],
        }

    def _model(self) -> ModelSection:
        request = self.request
        return self.card.document_section(
            guidance_scale=request.guidance_scale,
            guide=label_guide(self.card) if request.guidance == "classifier" else None,
            clip_denoised=self.scorer.task.clip_denoised,
        )

    def _fitness(self, row: ReportRow) -> dict[str, object]:
        """The reported score with everything that must be said beside it."""
        task = self.scorer.task
        return {
            "metric": "frechet-distance",
            "fid": row.fid,
            "standard_error": row.standard_error,
            "fids": list(row.fids),
            "num_samples": self.request.report_images,
            "sets": self.request.report_sets,
            "bank": "report",
            "reference": task.reference,
            "reference_sha256": task.reference_sha256,
            "extractor": task.extractor,
        }
