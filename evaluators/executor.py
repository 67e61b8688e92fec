"""What runs tiles. Executors differ in where they run them, never in what comes back."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Protocol

from evaluators.banks import FloatArray
from evaluators.chain_tiles import AnyTile
from evaluators.questions import Answer, Question


class TileExecutor(Protocol):
    """Runs tiles on workers that hold the model."""

    def run(self, tiles: Sequence[AnyTile]) -> Generator[FloatArray, None, None]:
        """The features (rows, d) of each tile, in tile order, while later tiles still run.

        Closing the generator early drops the tiles that have not started.

        Raises:
            ScoringFailed: the workers are gone and could not be replaced.
        """
        ...

    def ask(self, question: Question[Answer]) -> Answer:
        """What one worker answers; it has nothing else to do meanwhile.

        Raises:
            ScoringFailed: it fails to answer, or is gone and could not be replaced.
        """
        ...

    def close(self) -> None:
        """Release the workers; the executor is not used afterwards."""
        ...
