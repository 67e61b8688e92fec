"""Every bundled model: what its recipe says, whole, small enough, and good at its own classes."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks.model_card_samples import draw_samples
from evaluators.features import extractor_identity, load_extractor
from evaluators.references import load_reference
from evaluators.scorers import open_scorer
from evaluators.tasks import make_task
from evaluators.teacher import check_teacher
from fewstep.errors import ChecksFailed, UnsafeCheckpoint
from fewstep.networks.card import CARD_FILE, ModelCard
from fewstep.networks.guides import load_guide
from fewstep.networks.models import load_network, names, resolve
from fewstep.networks.zoo import train
from fewstep.networks.zoo.recipe import CLASSIFIER_FILE
from fewstep.networks.zoo.recipes import RECIPES, recipe_of

BUNDLED = names()
MAX_PARAMETERS = 8_000_000
MAX_WEIGHTS_BYTES = 16_000_000
MAX_SMALL_BYTES = 4_000_000  # of a classifier or a guide


@pytest.fixture(params=BUNDLED)
def card(request: pytest.FixtureRequest) -> ModelCard:
    return resolve(str(request.param))


@pytest.fixture
def copied(card: ModelCard, tmp_path: Path) -> tuple[str, Path]:
    """The reference of a copy, and its folder."""
    folder = tmp_path / "copy"
    shutil.copytree(card.folder, folder)
    return "file:copy", folder


def test_several_models_are_bundled_each_with_a_recipe() -> None:
    assert {"zoo:digits", "zoo:cifar10-16"} <= set(BUNDLED)
    assert set(BUNDLED) <= {recipe.name for recipe in RECIPES.values()}


def test_card_says_what_the_recipe_says(card: ModelCard) -> None:
    document = json.loads((card.folder / CARD_FILE).read_text(encoding="utf-8"))
    wanted = recipe_of(card.name).card(card.weights_sha256)
    differ = {name for name in wanted if name != "measured" and document[name] != wanted[name]}
    assert differ == set()
    assert set(document) - set(wanted) == {"guides"}


def test_sizes_stay_within_what_is_promised(card: ModelCard) -> None:
    parameters = sum(value.numel() for value in load_network(card).parameters())
    assert parameters <= MAX_PARAMETERS
    assert card.weights_path.stat().st_size <= MAX_WEIGHTS_BYTES
    small = [card.folder / CLASSIFIER_FILE, *(card.guide_path(name) for name in card.guides)]
    sizes = {path.name: path.stat().st_size for path in small}
    assert max(sizes.values()) <= MAX_SMALL_BYTES, sizes
    dtypes = {value.dtype for value in load_file(card.weights_path).values()}
    assert dtypes == {torch.float16}


def test_references_are_of_the_cards_own_features(card: ModelCard) -> None:
    for name in card.references:
        statistics = load_reference(card.reference_path(name))
        assert statistics.extractor == extractor_identity(card.extractor)
        assert statistics.image_shape == card.image_shape
    train = load_reference(card.reference_path(recipe_of(card.name).reference("train")))
    variances = np.diag(train.gaussian.covariance)
    assert variances.mean() == pytest.approx(1.0, abs=5e-3)  # half precision moves it a little
    assert variances.min() > 1e-4  # no dead feature


def test_classifier_is_as_accurate_as_its_kind_should_be(card: ModelCard) -> None:
    least = {"zoo:digits": 0.98, "zoo:cifar10": 0.90, "zoo:cifar10-16": 0.80}[card.name]
    weights: Any = card.measured["weights"]
    assert weights["classifier_accuracy"] >= least, weights


def test_samples_of_ten_calls_show_the_class_they_were_asked_for(card: ModelCard) -> None:
    sampler = {"solver": "dpm-solver++-2m", "grid": "log-snr", "nfe": 10}
    samples = draw_samples(card, load_extractor(card.extractor), sampler, count=200)
    teachers: Any = card.measured["teachers"]
    recorded = min(teacher["class_accuracy"] for teacher in teachers.values())
    share = float((samples.predicted == samples.labels).mean())
    assert share > recorded - 0.15, (share, recorded)  # chance is 0.1


def test_guides_load_and_answer(card: ModelCard) -> None:
    x, times = torch.randn(4, *card.image_shape), torch.zeros(4)
    assert sorted(guide["kind"] for guide in card.guides.values()) == ["noise-level", "noisy-label"]
    for name, guide in card.guides.items():
        network = load_guide(card, name)
        found = network(x, times) if guide["kind"] == "noisy-label" else network(x)
        assert found.shape == (4, card.num_classes if guide["kind"] == "noisy-label" else 200)
        assert found.isfinite().all()


def test_truncated_weights_are_refused(copied: tuple[str, Path]) -> None:
    name, folder = copied
    path = folder / "unet.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(UnsafeCheckpoint, match=r"unet\.safetensors"):
        resolve(name, roots=[folder.parent])


def test_weights_of_another_shape_are_refused_by_name(copied: tuple[str, Path]) -> None:
    name, folder = copied
    weights = load_file(folder / "unet.safetensors")
    weights["out.2.bias"] = torch.zeros(7)
    save_file(weights, folder / "unet.safetensors")
    with pytest.raises(ChecksFailed, match=r"out\.2\.bias"):
        resolve(name, roots=[folder.parent])


def test_weights_with_one_other_byte_are_refused(copied: tuple[str, Path]) -> None:
    name, folder = copied
    path = folder / "unet.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ChecksFailed, match="sha256"):
        resolve(name, roots=[folder.parent])


@pytest.mark.slow
def test_teacher_passes_its_gate(card: ModelCard) -> None:
    with open_scorer("inline", make_task(card.name)) as scorer:
        found = check_teacher(scorer, card)
    assert found.fid <= found.max_fid, found


def test_commands_of_the_pages_are_understood(repository: Path) -> None:
    pages = [repository / "docs" / "models.md"]
    pages += [resolve(name).folder / "MODEL_CARD.md" for name in BUNDLED]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    found = re.findall(r"^(?:\$ | {4})python -m fewstep\.networks\.zoo\.train (.*)$", text, re.M)
    assert len(found) >= 8
    for arguments in found:
        options = train.parser().parse_args(shlex.split(arguments, comments=True))
        assert options.data is not None or options.model == "digits", arguments
