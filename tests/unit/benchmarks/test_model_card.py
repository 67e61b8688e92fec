"""The measured model card: figures that repeat, and a page that says the same as the card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.model_card import NUM_SAMPLES, write_card
from benchmarks.model_card_figures import (
    nearest_distances,
    real_halves,
    teacher_figures,
    weight_figures,
)
from benchmarks.model_card_samples import draw_samples, write_picture
from benchmarks.model_card_text import model_card_text
from benchmarks.real_images import RealImages, load_real_images
from evaluators.features import load_extractor
from fewstep.networks.card import ModelCard
from fewstep.networks.models import names, resolve
from fewstep.networks.zoo.digits_data import load_digits_images
from fewstep.networks.zoo.digits_recipe import DIGITS

BUNDLED = names()


@pytest.fixture
def card() -> ModelCard:
    return resolve("zoo:digits")


@pytest.fixture(scope="module")
def real() -> RealImages:
    return load_real_images(DIGITS, load_extractor(DIGITS.extractor), None)


def _measured(card: ModelCard) -> dict[str, Any]:
    return dict(card.measured)


@pytest.mark.parametrize("name", BUNDLED)
def test_page_says_what_the_card_says(name: str) -> None:
    folder = resolve(name).folder
    document = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    page = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert page == model_card_text(document), f"run: python -m benchmarks.model_card {name}"


def test_recorded_floor_is_what_real_halves_give(card: ModelCard, real: RealImages) -> None:
    torch.set_num_threads(1)
    measured = real_halves(real, NUM_SAMPLES["digits"])
    for name, recorded in _measured(card)["real_halves"].items():
        assert measured[name] == pytest.approx(recorded, rel=1e-4, abs=1e-6), name


def test_recorded_weights_are_those_of_the_folder(card: ModelCard) -> None:
    found = weight_figures(card, DIGITS, *load_digits_images("heldout"))
    assert found == _measured(card)["weights"]


def test_halves_are_disjoint_balanced_and_limited(real: RealImages) -> None:
    for count, each in ((100, 100), (10_000, 896)):
        for first, second in real.halvings(count):
            assert not set(first.tolist()) & set(second.tolist())
            labels = real.labels["all"][first], real.labels["all"][second]
            assert np.bincount(labels[0]).tolist() == np.bincount(labels[1]).tolist()
            assert len(first) == len(second) == each


def test_nearest_distances_are_those_of_plain_loops() -> None:
    rng = np.random.default_rng(0)
    rows, others = (rng.normal(size=(n, 5)).astype(np.float32) for n in (7, 30))
    wanted = [min(float(np.linalg.norm(row - other)) for other in others) for row in rows]
    assert nearest_distances(rows, others).tolist() == pytest.approx(wanted, rel=1e-5)


def test_recorded_teachers_reach_the_floor(card: ModelCard) -> None:
    measured = _measured(card)
    floor = measured["real_halves"]
    for name, found in measured["teachers"].items():
        halves = found["at_half_counts"]
        assert halves["num_images_each"] == floor["num_images_each"], name
        assert halves["fid"] < 1.5 * floor["fid"], name


def test_the_page_says_how_far_the_model_memorises(card: ModelCard) -> None:
    ratios = [
        row["samples_median"] / row["heldout_median"]
        for found in _measured(card)["teachers"].values()
        for row in (found["nearest_training_image"][s] for s in ("features", "pixels_rms"))
    ]
    page = (card.folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert f"are {min(ratios):.2f} to {max(ratios):.2f} times those of held-out images" in page
    assert ("has begun to memorise" in page) == (min(ratios) < 1.0)


def test_figures_of_few_samples_from_few_steps_state_their_counts(
    card: ModelCard, real: RealImages
) -> None:
    sampler = {"solver": "ddim", "grid": "leading", "nfe": 2}
    samples = draw_samples(card, load_extractor(card.extractor), sampler, count=400)
    found: Any = teacher_figures(card, samples, real)
    assert found["num_samples"] == found["at_half_counts"]["num_images_each"] == 400
    recorded = _measured(card)["teachers"].values()
    best = max(teacher["fid"]["digits-all"] for teacher in recorded)
    assert found["fid"]["digits-all"] > 4 * best  # two leading steps are far from enough


def test_picture_shows_the_first_images_one_class_per_column(tmp_path: Path) -> None:
    images = np.arange(120, dtype=np.uint8)[:, None, None, None].repeat(8, 2).repeat(8, 3)
    write_picture(images, tmp_path / "samples.png", columns=10)
    with Image.open(tmp_path / "samples.png") as picture:
        pixels = np.asarray(picture)
    zoom, cell = 6, 9
    assert pixels.shape == ((10 * cell + 1) * zoom, (10 * cell + 1) * zoom)
    middles = pixels[(cell // 2) * zoom :: cell * zoom, (cell // 2) * zoom :: cell * zoom]
    assert middles.tolist() == np.arange(100).reshape(10, 10).tolist()


def test_samples_do_not_depend_on_the_number_of_threads(card: ModelCard) -> None:
    sampler = {"solver": "ddim", "grid": "leading", "nfe": 2}
    extractor = load_extractor(card.extractor)
    one, two = (draw_samples(card, extractor, sampler, count=600, slots=slots) for slots in (1, 2))
    assert np.array_equal(one.images, two.images)


def test_picture_of_colours_keeps_them(tmp_path: Path) -> None:
    images = np.zeros((100, 3, 4, 4), np.uint8)
    images[:, 2] = 200
    write_picture(images, tmp_path / "samples.png", columns=10)
    with Image.open(tmp_path / "samples.png") as picture:
        assert picture.mode == "RGB"
        assert picture.getpixel((12, 12)) == (0, 0, 200)


def test_writing_the_card_keeps_all_but_what_was_measured(card: ModelCard, tmp_path: Path) -> None:
    document = json.loads((card.folder / "card.json").read_text(encoding="utf-8"))
    (tmp_path / "card.json").write_text(json.dumps(document | {"measured": {}}), encoding="utf-8")
    write_card(tmp_path, _measured(card))
    assert json.loads((tmp_path / "card.json").read_text(encoding="utf-8")) == document
