"""`fewstep sample` of pruned schedules, from noise to PNG, and the page that tells of them."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

import fewstep
from fewstep.commands.png import encode_grid
from fewstep.commands.seeded_noise import Stream, image_noise
from fewstep.networks.denoising import balanced_labels
from fewstep.networks.guidance import label_guide
from fewstep.schedule import ModelSection, Schedule
from tests.pruned_documents import (
    CARD,
    FULL,
    REUSING,
    THIN,
    TIMES,
    of_steps,
    repaired_schedule,
    schedule_of,
)
from tests.unit.client.program_run import Sample, run_program

WEIGHTS = "repair.safetensors"
DOCUMENT = ["--schedule", "schedule.json"]


def _repaired(model: ModelSection | None = None) -> Schedule:
    """Written down, with its tensors beside it."""
    architecture = of_steps(THIN, FULL, REUSING, repair="ridge")
    schedule = repaired_schedule(Path(WEIGHTS), architecture, model=model)
    Path("schedule.json").write_text(schedule.to_json())
    return schedule


def test_images_are_those_of_the_library(sample: Sample) -> None:
    schedule = _repaired(CARD.document_section(guidance_scale=2.0))
    done = sample(*DOCUMENT, "--weights", WEIGHTS, "--seed", "5", "--json")
    assert done.returncode == 0, done.stderr
    pruned = fewstep.load_pruned("zoo:digits", schedule, weights=WEIGHTS)
    start = image_noise(5, Stream.START, range(2), CARD.image_shape)[0]
    with torch.no_grad():
        images = schedule.sample(pruned.denoisers(balanced_labels(CARD, 2)), start)
    pixels = ((images + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)
    assert Path("samples.png").read_bytes() == encode_grid(pixels.numpy())
    report, section = json.loads(done.stdout), schedule.architecture
    assert section is not None
    assert report["passes"] == 6.0  # of all networks together
    assert report["architecture"] == {
        "configurations": 3,
        "of_step": [0, 1, 2],
        "repair": "ridge",
        "macs": section.macs,
        "full_macs": section.full_macs,
    }


def test_the_line_for_people_tells_the_share_of_multiply_adds(sample: Sample) -> None:
    schedule = schedule_of(
        of_steps(FULL, THIN, THIN),
        model=CARD.document_section(guidance_scale=1.5, guide=label_guide(CARD)),
    )
    Path("schedule.json").write_text(schedule.to_json())
    done = sample(*DOCUMENT)
    assert done.returncode == 0, done.stderr
    assert schedule.architecture is not None
    share = f"{schedule.architecture.share:.1%} of the full network's multiply-adds"
    assert f"3 network passes, 3 gradients, {share}, " in done.stdout


def test_without_the_tensors_it_says_where_they_are_to_be_had(sample: Sample) -> None:
    schedule = _repaired()
    assert schedule.architecture is not None
    sha256 = str(schedule.architecture.weights_sha256)
    for arguments in ([], ["--weights", "nowhere.safetensors"]):
        done = sample(*DOCUMENT, *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        for part in ("fewstep weights ID", "GET /v1/schedules/{id}/weights", sha256):
            assert part in done.stderr, done.stderr


def _plain() -> Schedule:
    return Schedule.build(TIMES, model=CARD.document_section(), solver="ddim")


def _unrepaired() -> Schedule:
    return schedule_of(of_steps(THIN, FULL, FULL))


@pytest.mark.parametrize(
    ("schedule", "arguments", "expected"),
    [
        (_plain, [*DOCUMENT, "--weights", "other"], "the schedule has no architecture"),
        (_unrepaired, [*DOCUMENT, "--weights", "other"], "repair is 'none'; allowed: no file"),
        (_repaired, [*DOCUMENT, "--weights", "other"], "the file 'other' has"),
        (
            _plain,
            ["--model", "zoo:digits", "--solver", "ddim", "--nfe", "3", "--weights", "other"],
            "--weights='other': not without --schedule",
        ),
    ],
)
def test_a_file_that_is_not_the_schedules_is_refused(
    sample: Sample, schedule: Any, arguments: list[str], expected: str
) -> None:
    Path("other").write_bytes(b"other")
    Path("schedule.json").write_text(schedule().to_json())
    done = sample(*arguments)
    assert (done.returncode, done.stdout) == (2, ""), done
    assert expected in done.stderr, done.stderr
    assert not Path("samples.png").exists()


def test_an_architecture_that_the_model_has_not_is_refused_before_a_file_is_read(
    sample: Sample,
) -> None:
    document = _unrepaired().to_dict()
    document["architecture"]["configurations"][0] = {"nowhere.0": {"mode": "removed"}}
    Path("schedule.json").write_text(json.dumps(document))
    done = sample(*DOCUMENT)
    assert (done.returncode, done.stdout) == (2, ""), done
    assert "nowhere.0=unknown block" in done.stderr, done.stderr


_BLOCK = re.compile(r"```(console|python)\n(.*?)```", flags=re.DOTALL)


def test_every_command_and_example_of_the_pruning_page_runs(
    repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """What makes a schedule runs first: it writes the files that the page starts with."""
    text = (repository / "docs" / "pruning.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (_, command), (_, running), (_, making) = _BLOCK.findall(text)
    names: dict[str, Any] = {"fewstep": fewstep, "torch": torch}
    with torch.random.fork_rng(devices=[]):
        exec(compile(making, "docs/pruning.md", "exec"), names)
        exec(compile(running, "docs/pruning.md", "exec"), names)
    assert names["images"].shape == (16, 1, 8, 8)
    assert names["images"].isfinite().all()
    (line,) = command.splitlines()
    done = run_program(capfd, *shlex.split(line)[2:])
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "samples.png").read_bytes().startswith(b"\x89PNG")
