"""What the documents show is run here, so that they cannot go stale."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.readme import with_numbers
from fewstep.denoisers import StackedLevel
from fewstep.networks.models import resolve
from fewstep.process import VPDiscrete
from fewstep.schedule import ModelSection, Schedule, json_schema
from store.settings import Settings
from tests.mixture import MixtureDenoiser


def python_blocks(path: Path) -> list[str]:
    """The fenced Python blocks of a Markdown file."""
    return re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_documented_reader_of_programs_gives_our_samples(repository: Path) -> None:
    (block,) = python_blocks(repository / "docs" / "schedule.md")
    names: dict[str, Any] = {}
    exec(compile(block, "docs/schedule.md", "exec"), names)
    process = VPDiscrete.linear()
    model = ModelSection(
        name="mixture",
        prediction="noise",
        checkpoint_sha256="0" * 64,
        image_shape=(1, 8, 8),
        process=process.describe(),
    )
    times = [*(process.time_of(index) for index in (657, 514, 258, 18)), 0.0]
    schedule = Schedule.build(times, model=model, solver="dpm-solver++-2m")
    x = torch.linspace(-2.0, 2.0, 9, dtype=torch.float64)[:, None]

    def denoise(state: np.ndarray, node: dict[str, float]) -> np.ndarray:
        keys = ("t", "alpha", "sigma", "network_time")
        columns = [torch.full((len(state),), node[key], dtype=torch.float64) for key in keys]
        denoised: np.ndarray = MixtureDenoiser()(
            torch.from_numpy(state), StackedLevel(*columns)
        ).numpy()
        return denoised

    found = names["run"](schedule.to_json(), denoise, x.numpy())
    np.testing.assert_allclose(
        found, schedule.sample(MixtureDenoiser(), x).numpy(), rtol=1e-13, atol=1e-14
    )


def test_the_documented_reader_is_at_most_twenty_lines(repository: Path) -> None:
    (block,) = python_blocks(repository / "docs" / "schedule.md")
    assert len(block.strip().splitlines()) <= 20


def test_the_published_schema_is_the_one_of_this_version(repository: Path) -> None:
    published = json.loads((repository / "docs" / "schedule.schema.json").read_text("utf-8"))
    assert published == json_schema(), "run: fewstep schema > docs/schedule.schema.json"


def test_the_readmes_numbers_are_those_of_the_results(repository: Path) -> None:
    text = (repository / "README.md").read_text("utf-8")
    assert with_numbers(text) == text, "run: python -m benchmarks.readme"


def test_the_readmes_library_examples_run_and_agree(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = resolve("zoo:digits")
    process = card.make_process()
    model = card.document_section()
    times = [*(process.time_of(index) for index in (584, 340, 129, 13)), 0.0]
    document = Schedule.build(times, model=model, solver="dpm-solver++-2m")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "schedule.json").write_text(document.to_json())
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in python_blocks(repository / "README.md")[:2]:
        exec(compile(block, "README.md", "exec"), names)
    assert names["images"].shape == (16, 1, 8, 8)
    assert names["timesteps"] == names["scheduler"].timesteps.tolist() == [584, 340, 129, 13]


def test_every_setting_is_documented(repository: Path) -> None:
    text = (repository / "docs" / "service.md").read_text("utf-8")
    missing = [n for n in Settings.model_fields if f"`FEWSTEP_{n.upper()}`" not in text]
    assert not missing
