"""Result files of rows: JSON that a command goes on from, and its markdown table beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def read_rows(path: Path) -> list[Any]:
    """The rows of an earlier run; none where there was none."""
    if not path.exists():
        return []
    rows: list[Any] = json.loads(path.read_text(encoding="utf-8"))
    return rows


def write_rows(path: Path, rows: Sequence[Any], table: str) -> None:
    """Both files, each replaced as a whole: an interruption leaves no half."""
    for target, text in (
        (path, json.dumps(rows, indent=1, sort_keys=True) + "\n"),
        (path.with_suffix(".md"), table),
    ):
        part = target.with_name(target.name + ".part")
        part.write_text(text, encoding="utf-8")
        part.replace(target)
