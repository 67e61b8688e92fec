"""Measure a bundled model and write its card: `python -m benchmarks.model_card zoo:digits`.

Builds the reference statistics, fills `measured` of card.json, and writes MODEL_CARD.md and
samples.png beside it. Samples are drawn on the report bank with balanced labels.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.model_card_figures import real_halves, teacher_figures, weight_figures
from benchmarks.model_card_samples import SampleSet, draw_samples, write_picture
from benchmarks.model_card_text import model_card_text
from evaluators.features import load_extractor
from evaluators.reference_builder import SPLITS, build_for_model
from fewstep.networks.card import CARD_FILE, ModelCard
from fewstep.networks.models import resolve

NUM_SAMPLES = 4096
FULL_STEPS = {"solver": "ddim", "grid": "trailing", "nfe": 100}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.model_card", description="Measure a bundled model."
    )
    parser.add_argument("model", choices=["zoo:digits"])
    parser.add_argument("--samples", type=int, default=NUM_SAMPLES, help="images per teacher")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # float32 sums keep their order, so figures repeat exactly
    card = resolve(options.model)
    write_references(card)
    measured = measure(card, num_samples=options.samples)
    write_card(card.folder, measured)


def write_references(card: ModelCard) -> None:
    """Write the statistics of every split of the real images."""
    for split in SPLITS:
        statistics = build_for_model(card.name, split=split, folder=None, resize_rule="none")
        statistics.save(card.reference_path(f"digits-{split}"))


def measure(card: ModelCard, *, num_samples: int) -> dict[str, object]:
    """All figures of the card; every one stands beside its number of images."""
    extractor = load_extractor(card.extractor)
    teachers: dict[str, object] = {}
    for sampler in (FULL_STEPS, card.teacher):
        samples = draw_samples(card, extractor, sampler, count=num_samples)
        name = f"{sampler['solver']}, {sampler['nfe']} calls"
        teachers[name] = {"grid": sampler["grid"], **teacher_figures(card, samples)}
        _picture_once(card, samples)
    return {
        "weights": weight_figures(card),
        "real_halves": real_halves(card),
        "teachers": teachers,
    }


def write_card(folder: Path, measured: dict[str, object]) -> None:
    """Put what was measured into card.json, and the same in words beside it."""
    path = folder / CARD_FILE
    document = json.loads(path.read_text(encoding="utf-8")) | {"measured": measured}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    (folder / "MODEL_CARD.md").write_text(model_card_text(document), encoding="utf-8")


def _picture_once(card: ModelCard, samples: SampleSet) -> None:
    """A picture of the card's own teacher: what searches compare with."""
    if samples.sampler == card.teacher:
        assert card.num_classes is not None
        write_picture(samples.images, card.folder / "samples.png", columns=card.num_classes)


if __name__ == "__main__":
    main()
