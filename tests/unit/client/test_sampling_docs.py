"""Every command and every example of `docs/sampling.md`, run in the order in which they stand."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit.client.program_run import run_program

_BLOCK = re.compile(r"```(console|python)\n(.*?)```", flags=re.DOTALL)


def commands_of(block: str) -> list[list[str]]:
    """The commands of a console block, continued lines joined."""
    lines = block.replace("\\\n", " ").splitlines()
    assert all(line.startswith("$ fewstep ") for line in lines), lines
    return [shlex.split(line)[2:] for line in lines]


def test_every_command_and_example_of_the_sampling_page_runs(
    repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    text = (repository / "docs" / "sampling.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    blocks = _BLOCK.findall(text)
    # The file that commands read is written by an example that stands before them.
    names: dict[str, Any] = {}
    ran = 0
    with torch.random.fork_rng(devices=[]):
        for kind, block in blocks:
            if kind == "python":
                exec(compile(block, "docs/sampling.md", "exec"), names)
                continue
            for arguments in commands_of(block):
                done = run_program(capfd, *arguments)
                assert (done.returncode, done.stderr) == (0, ""), (arguments, done)
                ran += 1
    assert ran == text.count("$ fewstep ") > 15
    assert names["inpainted"].isfinite().all()
    assert names["result"].samples.shape == (8, 1, 8, 8)
    assert (tmp_path / "samples.png").read_bytes().startswith(b"\x89PNG")
