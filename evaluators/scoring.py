"""Scoring, whatever runs the tiles: asks to programs to tiles to features to distances.

Results depend on the asks alone. Features come back in tile order, are merged in that order, and
every distance is computed here, in the calling thread, while later tiles still run.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import numpy as np

from evaluators.chain_tiles import AnySegment, ChainSegment, tiles_of
from evaluators.executor import TileExecutor
from evaluators.feature_sheet import FeatureCache, FeatureSheet
from evaluators.frechet import Gaussian, frechet_distance
from evaluators.measuring import calibration_program
from evaluators.packing import Segment
from evaluators.questions import DeviceQuestion, RepairQuestion, SecondsQuestion, SurveyQuestion
from evaluators.score import Ask, OnScore, Score, Task, calls_of
from fewstep.errors import InvalidInput
from fewstep.networks.pruning.architecture import REPAIRS, Architecture, Repair
from fewstep.networks.pruning.blocks import PrunableBlock
from fewstep.networks.pruning.calibration_plan import CalibrationPlan
from fewstep.networks.pruning.configuration import NetworkConfiguration
from fewstep.process import Process
from fewstep.program import MAX_CONDITION, Program, trace
from space.survey import IMPORTANCES, Importance, Survey

# Features kept so that scoring a candidate with more images costs only the new ones.
CACHE_BYTES = 128 * 2**20


class TileScorer:
    """The `Scorer`, and `PruningScorer`, over any executor of tiles."""

    def __init__(
        self,
        task: Task,
        executor: TileExecutor,
        *,
        process: Process,
        reference: Gaussian,
        blocks: Sequence[PrunableBlock] = (),
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._task = task
        self._executor = executor
        self._process = process
        self._reference = reference
        self._blocks = tuple(blocks)
        self._cache = FeatureCache(cache_bytes)

    @property
    def task(self) -> Task:
        """What is scored."""
        return self._task

    @property
    def blocks(self) -> tuple[PrunableBlock, ...]:
        """What may be cut in the task's network."""
        return self._blocks

    def close(self) -> None:
        """Release the workers."""
        self._executor.close()

    def survey(self, plan: CalibrationPlan, importance: Importance, repair: Repair) -> Survey:
        """What cuts do, band by band; see `evaluators.measuring.PruningScorer`."""
        calibration_program(plan, self._task, self._process)
        for field, value, known in (
            ("importance", importance, IMPORTANCES),
            ("repair", repair, REPAIRS),
        ):
            if value not in known:
                raise InvalidInput(
                    f"{field}={value!r}: unknown; allowed: {', '.join(known)}", field=field
                )
        return self._executor.ask(SurveyQuestion(plan, importance, repair))

    def device_name(self) -> str:
        """The chip on which workers compute."""
        return self._executor.ask(DeviceQuestion())

    def seconds(self, configurations: Sequence[NetworkConfiguration]) -> list[float]:
        """Seconds of one image of one pass; see `evaluators.measuring.PruningScorer`."""
        for configuration in configurations:
            configuration.check(self._blocks)
        return self._executor.ask(SecondsQuestion(tuple(configurations)))

    def repaired(self, architecture: Architecture) -> bytes:
        """What the repair changes, as a file; see `evaluators.measuring.PruningScorer`."""
        if architecture.repair == "none":
            raise InvalidInput(
                "architecture.repair='none': there is nothing to repair; allowed: bias, ridge",
                field="architecture",
            )
        self._check_architecture(architecture)
        return self._executor.ask(RepairQuestion(architecture))

    def score(self, asks: Sequence[Ask], on_score: OnScore) -> list[Score]:
        """Score all asks; see `evaluators.score.Scorer`."""
        failures = [self._infeasible(ask) for ask in asks]
        feasible = [ask for ask, failure in zip(asks, failures, strict=True) if failure is None]
        sheet = FeatureSheet(self._cache)
        segments = [segment for ask in feasible for segment in self._missing(ask, sheet)]
        tiles = tiles_of(segments, self._task.numerics.micro_batch)
        scores: list[Score] = []
        with closing(self._executor.run(tiles)) as results:
            arriving = zip(tiles, results, strict=True)
            for position, (ask, failure) in enumerate(zip(asks, failures, strict=True)):
                while failure is None and not sheet.is_complete(ask):
                    sheet.add(*next(arriving))
                scores.append(self._judge(ask, failure, sheet))
                on_score(position, scores[-1])
        return scores

    def _program(self, ask: Ask) -> Program:
        """What runs; for chains, what one at the nominal start runs."""
        candidate = ask.candidate
        program = trace(
            candidate.times,
            process=self._process,
            solver=candidate.solver,
            options=dict(candidate.options),
        )
        if candidate.architecture is None:
            return program
        return program.with_networks(candidate.times, candidate.architecture.of_step)

    def _infeasible(self, ask: Ask) -> str | None:
        """Why a candidate fails without a network call; None if it may run."""
        if ask.candidate.chains and self._task.level_guide is None:
            return "chains: the task has no noise-level guide"
        try:
            if ask.candidate.architecture is not None:
                self._check_architecture(ask.candidate.architecture)
            condition = self._program(ask).condition
        except InvalidInput as error:
            return error.message
        if condition > MAX_CONDITION:
            return (
                f"condition {condition:.4g} of the program is above {MAX_CONDITION:g}: its "
                "coefficients would amplify rounding errors into the images"
            )
        return None

    def _check_architecture(self, architecture: Architecture) -> None:
        """Hold an architecture against the blocks of the network, its calibration against the task.

        That it has as many steps as its candidate is the candidate's own rule.
        """
        architecture.normalised(self._blocks, steps=len(architecture.of_step))
        if architecture.calibration is not None:
            calibration_program(architecture.calibration, self._task, self._process)

    def _missing(self, ask: Ask, sheet: FeatureSheet) -> list[AnySegment]:
        """The images that neither the cache nor an earlier ask provides, as one segment or none."""
        start = sheet.plan(ask)
        if start >= ask.num_samples:
            return []
        if ask.candidate.chains:
            return [ChainSegment(ask.candidate, ask.bank, start, ask.num_samples)]
        architecture = ask.candidate.architecture
        return [Segment(self._program(ask), ask.bank, start, ask.num_samples, architecture)]

    def _judge(self, ask: Ask, failure: str | None, sheet: FeatureSheet) -> Score:
        calls = calls_of(self._task, ask)
        if failure is not None:
            return Score(None, failure, calls)
        features = sheet.features(ask)
        num_bad = int((~np.isfinite(features)).any(axis=1).sum())
        if num_bad:
            reason = f"{num_bad} of {ask.num_samples} images are not finite"
            return Score(None, reason, calls)
        return Score(frechet_distance(features, self._reference), None, calls)
