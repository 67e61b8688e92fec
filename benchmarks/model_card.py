"""Measure a bundled model and write its card: `python -m benchmarks.model_card zoo:digits`.

Builds the reference statistics, fills `measured` of card.json, and writes MODEL_CARD.md and
samples.png beside it. Samples are drawn on the report bank with balanced labels. Models whose
images are not bundled need them: `--data PATH`.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.model_card_figures import (
    loading_figures,
    real_halves,
    teacher_figures,
    weight_figures,
)
from benchmarks.model_card_samples import SampleSet, draw_samples, write_picture
from benchmarks.model_card_text import model_card_text
from benchmarks.real_images import load_real_images
from evaluators.features import load_extractor
from evaluators.reference_builder import build_reference
from fewstep.networks.card import CARD_FILE, ModelCard
from fewstep.networks.models import resolve
from fewstep.networks.zoo.recipe import Recipe
from fewstep.networks.zoo.recipes import RECIPES, recipe_of

NUM_SAMPLES = {"digits": 4096}  # the others have more images to be compared with
MORE_SAMPLES = 10_000
FULL_STEPS = {"solver": "ddim", "grid": "trailing", "nfe": 100}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.model_card", description="Measure a bundled model."
    )
    parser.add_argument("model", choices=[recipe.name for recipe in RECIPES.values()])
    parser.add_argument("--data", type=Path, help="archive of the images that are not bundled")
    parser.add_argument("--samples", type=int, help="images per teacher")
    parser.add_argument("--slots", type=int, default=os.cpu_count(), help="batches at a time")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # float32 sums keep their order, so figures repeat exactly
    card, recipe = resolve(options.model), recipe_of(options.model)
    write_references(card, recipe, options.data)
    count = options.samples or NUM_SAMPLES.get(recipe.model, MORE_SAMPLES)
    measured = measure(card, recipe, options.data, num_samples=count, slots=options.slots)
    write_card(card.folder, measured)


def write_references(card: ModelCard, recipe: Recipe, data: Path | None) -> None:
    """Write the statistics of the real images."""
    for split in recipe.references:
        images, _ = recipe.load(data, split)
        source = f"{recipe.name}, split {split}"
        statistics = build_reference(images, extractor=card.extractor, source=source)
        statistics.save(card.reference_path(recipe.reference(split)))


def measure(
    card: ModelCard, recipe: Recipe, data: Path | None, *, num_samples: int, slots: int
) -> dict[str, object]:
    """All figures of the card; every one stands beside its number of images."""
    extractor = load_extractor(card.extractor)
    real = load_real_images(recipe, extractor, data)
    teachers: dict[str, object] = {}
    for sampler in (FULL_STEPS, card.teacher):
        samples = draw_samples(card, extractor, sampler, count=num_samples, slots=slots)
        name = f"{sampler['solver']}, {sampler['nfe']} calls"
        teachers[name] = {"grid": sampler["grid"], **teacher_figures(card, samples, real)}
        _picture_once(card, samples)
    return {
        "weights": weight_figures(card, recipe, real.images["heldout"], real.labels["heldout"]),
        "loading": loading_figures(card),
        "real_halves": real_halves(real, num_samples),
        "teachers": teachers,
    }


def write_card(folder: Path, measured: dict[str, object]) -> None:
    """Put what was measured into card.json, and the same in words beside it."""
    path = folder / CARD_FILE
    document = json.loads(path.read_text(encoding="utf-8"))
    document["measured"] = document["measured"] | measured  # how it was trained stays
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    (folder / "MODEL_CARD.md").write_text(model_card_text(document), encoding="utf-8")


def _picture_once(card: ModelCard, samples: SampleSet) -> None:
    """A picture of the card's own teacher: what searches compare with."""
    if samples.sampler == card.teacher:
        assert card.num_classes is not None
        write_picture(samples.images, card.folder / "samples.png", columns=card.num_classes)


if __name__ == "__main__":
    main()
