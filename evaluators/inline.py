"""Scoring inside this process: worker threads that share one loaded model."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import torch

from evaluators.banks import FloatArray
from evaluators.chain_tiles import AnyTile
from evaluators.questions import Answer, Question
from evaluators.score import Task
from evaluators.scoring import CACHE_BYTES, TileScorer
from evaluators.tasks import blocks_of, process_of, reference_of
from evaluators.tile_runner import TileRunner, load_runner
from fewstep.errors import ScoringFailed


class InlineExecutor:
    """Runs tiles on `slots` threads, each with the task's number of threads per operation.

    torch releases the interpreter's lock inside its operations, so two slots use two cores.
    """

    def __init__(self, runner: TileRunner, *, slots: int) -> None:
        self._runner = runner
        self._threads_before = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(
            slots,
            thread_name_prefix="fewstep-slot",
            initializer=torch.set_num_threads,
            initargs=(runner.task.numerics.threads,),
        )

    def run(self, tiles: Sequence[AnyTile]) -> Generator[FloatArray, None, None]:
        """Features of each tile, in tile order; see `evaluators.executor.TileExecutor`."""
        futures = [self._pool.submit(self._runner.features, tile) for tile in tiles]
        try:
            for position, future in enumerate(futures):
                yield _result(f"tile {position}", future)
        finally:
            for future in futures:
                future.cancel()

    def ask(self, question: Question[Answer]) -> Answer:
        """Answer on one of the threads; see `evaluators.executor.TileExecutor`."""
        return _result("the answer", self._pool.submit(question.answer, self._runner))

    def close(self) -> None:
        """Stop the threads, and give torch back the number of threads it had."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(self._threads_before)


def _result(what: str, future: Future[Answer]) -> Answer:
    """What a thread found; what went wrong in it is our machinery's failure, not a candidate's."""
    try:
        return future.result()
    except Exception as error:
        raise ScoringFailed(f"{what} failed: {error}") from error


class InlineScorer(TileScorer):
    """A scorer in this process. Close it to stop its threads."""

    def __init__(
        self,
        task: Task,
        *,
        roots: Sequence[Path] = (),
        slots: int = 1,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        super().__init__(
            task,
            InlineExecutor(load_runner(task, roots=roots), slots=slots),
            process=process_of(task, roots=roots),
            reference=reference_of(task, roots=roots).gaussian,
            blocks=blocks_of(task, roots=roots),
            cache_bytes=cache_bytes,
        )
