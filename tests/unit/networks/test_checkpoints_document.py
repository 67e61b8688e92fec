"""What `docs/checkpoints.md` shows is run here, on a small network in place of the public ones."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from evaluators import reference_builder
from evaluators.references import load_reference
from fewstep import cli
from fewstep.networks import convert
from fewstep.networks.adm.unet import UNet
from fewstep.networks.card import ModelCard, read_card
from fewstep.networks.convert import architecture_of
from fewstep.networks.guided_diffusion_flags import network_config, parse_flags
from fewstep.networks.models import resolve
from fewstep.networks.zoo.digits_recipe import DIGITS

# The options of the public models in small: colour, a learned variance, all classes.
SMALL = replace(
    DIGITS.unet, in_channels=3, out_channels=6, num_classes=1000, resblock_updown=True, dropout=0.0
)
SIDE = 8


@pytest.fixture
def document(repository: Path) -> str:
    return (repository / "docs" / "checkpoints.md").read_text(encoding="utf-8")


def _commands(document: str) -> list[list[str]]:
    blocks = re.findall(r"```console\n(.*?)```", document, flags=re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line.removeprefix("$ ")) for line in lines]


def _card(document: str) -> dict[str, Any]:
    (block,) = re.findall(r"```json\n(.*?)```", document, flags=re.DOTALL)
    card: dict[str, Any] = json.loads(block)
    return card


def _written(folder: Path, card: dict[str, Any]) -> ModelCard:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "card.json").write_text(json.dumps(card))
    return read_card(folder)


def test_the_card_is_complete_and_has_the_architecture_of_the_flags(
    document: str, tmp_path: Path
) -> None:
    (words,) = (command for command in _commands(document) if "--flags" in command)
    config = network_config(parse_flags(words[words.index("--flags") + 1]))
    assert _card(document)["architecture"] == architecture_of(config)
    card = _written(tmp_path, _card(document))
    assert card.make_process().describe()["beta_schedule"] == "cosine"


def test_the_flags_of_every_checkpoint_make_its_network(document: str) -> None:
    rows = re.findall(r"^\| `(\w+\.pt)`.*\| `(image_size=.*)` \|$", document, flags=re.MULTILINE)
    configs = {name: network_config(parse_flags(flags)) for name, flags in rows}
    assert sorted(configs) == [
        "128x128_diffusion.pt", "256x256_diffusion.pt", "64x64_classifier.pt"
    ]  # fmt: skip
    for name, config in configs.items():
        assert config.out_channels == (1000 if "classifier" in name else 6)
    assert network_config(parse_flags("image_size=512 classifier_depth=2")).channel_mult[0] == 0.5


MAINS: dict[tuple[str, ...], Callable[[list[str]], object]] = {
    ("python", "-m", "fewstep.networks.convert"): convert.main,
    ("python", "-m", "evaluators.references"): reference_builder.main,
    ("fewstep",): cli.main,
}


def _run(command: list[str]) -> None:
    """A documented command, in this process where it is one of ours."""
    for words, run in MAINS.items():
        if tuple(command[: len(words)]) == words:
            assert not _exit_code(run, command[len(words) :])
            return
    subprocess.run(command, check=True, timeout=30)


def _exit_code(run: Callable[[list[str]], object], arguments: list[str]) -> object:
    try:
        run(arguments)
    except SystemExit as ended:
        return ended.code
    return None


def test_the_commands_make_a_model_that_samples(
    document: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    make_folder, conversion, references, sample = _commands(document)
    torch.save(UNet(SMALL).state_dict(), "64x64_diffusion.pt")
    _run(make_folder)
    place = conversion.index("--flags")
    conversion[place : place + 2] = ["--config", json.dumps(SMALL.to_dict())]
    _run(conversion)
    told = json.loads(capsys.readouterr().out)
    card = _card(document) | {
        "architecture": told["architecture"],
        "weights_sha256": told["sha256"],
        "image_shape": [3, SIDE, SIDE],
    }
    folder = tmp_path / "models" / "imagenet-64"
    _written(folder, card)
    (tmp_path / "photographs").mkdir()
    draw = np.random.default_rng(0)
    for index in range(12):
        pixels = draw.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photographs" / f"{index}.png")
    _run(references)
    found = resolve("file:imagenet-64", roots=[tmp_path / "models"])
    assert load_reference(found.reference_path()).num_images == 12
    _run(sample)
    with Image.open(tmp_path / "samples.png") as picture:
        assert picture.mode == "RGB"
