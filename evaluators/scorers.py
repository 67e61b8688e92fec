"""Scorers by the name of what executes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from evaluators.score import Task
from evaluators.scoring import TileScorer
from fewstep.errors import InvalidInput

EXECUTORS = ("inline", "ray")


@contextmanager
def open_scorer(
    executor: str,
    task: Task,
    *,
    roots: Sequence[Path] = (),
    slots: int = 1,
    ray_address: str | None = None,
) -> Iterator[TileScorer]:
    """A scorer that releases its workers at the end.

    Args:
        executor: `inline` (threads of this process) or `ray` (actors).
        task: What is scored.
        roots: Folders in which `file:` models are found.
        slots: Threads or actors that score at the same time.
        ray_address: Address of a running Ray cluster; None starts one on this machine.

    Raises:
        InvalidInput: unknown executor, slots below 1, or the task's model cannot be loaded.
        MissingExtra: Ray is asked for and not installed.
    """
    if executor not in EXECUTORS:
        raise InvalidInput(
            f"executor={executor!r}: unknown; allowed: {', '.join(EXECUTORS)}", field="executor"
        )
    if slots < 1:
        raise InvalidInput(f"slots={slots}: must be at least 1", field="slots")
    with closing(_open(executor, task, roots, slots, ray_address)) as scorer:
        yield scorer


def _open(
    executor: str, task: Task, roots: Sequence[Path], slots: int, ray_address: str | None
) -> TileScorer:
    # Imported here: torch and Ray take seconds and memory that whoever only names scorers saves.
    if executor == "inline":
        from evaluators.inline import InlineScorer

        return InlineScorer(task, roots=roots, slots=slots)
    from evaluators.ray_scorer import RayScorer

    return RayScorer(task, roots=roots, num_actors=slots, address=ray_address)
