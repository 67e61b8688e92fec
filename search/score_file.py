"""A journal whose scores and measurements outlive the process, in a file of JSON lines."""

from __future__ import annotations

import json
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from evaluators.score import Ask, Score
from search.journal import MemoryJournal


class ScoreFileJournal(MemoryJournal):
    """A memory journal that starts from a file's scores and appends new ones to it.

    A line that was cut short by an interruption is dropped. One process writes at a time.
    """

    def __init__(self, path: Path) -> None:
        lines = _read(path)
        super().__init__(
            scores={
                line["key"]: Score(line["fid"], line["failure"], line["calls"])
                for line in lines
                if "fid" in line
            },
            measurements={line["key"]: line["value"] for line in lines if "value" in line},
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: TextIOWrapper = path.open("a", encoding="utf-8")

    def record(
        self, *, seq: int, phase: str, ask: Ask, key: str, score: Score, cached: bool
    ) -> None:
        """Store an evaluation, and its score in the file unless it is there."""
        if key not in self.scores:
            self._append(
                {"key": key, "fid": score.fid, "failure": score.failure, "calls": score.calls}
            )
        super().record(seq=seq, phase=phase, ask=ask, key=key, score=score, cached=cached)

    def keep_measured(self, key: str, kind: str, value: object) -> None:
        """Keep a measurement, and append it to the file unless it is there."""
        if key not in self.measurements:
            self._append({"key": key, "kind": kind, "value": value})
        super().keep_measured(key, kind, value)

    def _append(self, line: dict[str, object]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._file.close()


def _read(path: Path) -> list[dict[str, Any]]:
    """The lines of a file, none if there is no file."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    return [json.loads(line) for line in whole.splitlines()]
