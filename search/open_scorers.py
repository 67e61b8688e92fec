"""The scorer that a worker keeps open, since loading a model takes longer than a small search."""

from __future__ import annotations

from contextlib import ExitStack

from evaluators.score import Scorer, Task
from evaluators.scorers import open_scorer
from store.settings import Settings


class OpenScorer:
    """At most one open scorer, as the settings say; replaced when another task needs another."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._open: tuple[Scorer, ExitStack] | None = None

    def for_task(self, task: Task) -> Scorer:
        """The scorer of a task; the one at hand if it serves."""
        if self._open is not None and self._open[0].task == task:
            return self._open[0]
        self.close()  # first: two models at once may not fit
        stack = ExitStack()
        scorer = stack.enter_context(
            open_scorer(
                self._settings.executor,
                task,
                roots=self._settings.model_roots,
                slots=self._settings.slots,
                ray_address=self._settings.ray_address,
            )
        )
        self._open = (scorer, stack)
        return scorer

    def close(self) -> None:
        """Release the scorer's workers; the next task opens a new one."""
        if self._open is not None:
            _, stack = self._open
            self._open = None
            stack.close()
