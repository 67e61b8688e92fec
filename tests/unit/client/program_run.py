"""Runs the `fewstep` program in this process, where no service is needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import pytest

from fewstep.cli import main


@dataclass(frozen=True)
class Ended:
    """What a command came to."""

    returncode: int
    stdout: str
    stderr: str


def run_program(capfd: pytest.CaptureFixture[str], *arguments: str) -> Ended:
    """Run it; what was captured before is dropped."""
    capfd.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    captured = capfd.readouterr()
    return Ended(int(ended.value.code or 0), captured.out, captured.err)


class Sample(Protocol):
    """Runs `fewstep sample`."""

    def __call__(self, *arguments: str) -> Ended:
        """Run it with these arguments."""
        ...
