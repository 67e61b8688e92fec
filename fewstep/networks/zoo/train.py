"""Train a bundled model: `python -m fewstep.networks.zoo.train digits --out DIR`.

Writes `classifier.safetensors`, `unet.safetensors` (half precision) and `card.json` into DIR, and
keeps `checkpoint.safetensors` there: the same command, run again, goes on from it.

`digits-guides` trains the small networks that guide the model, minutes each: DIR must hold the
model's `card.json`, which then lists them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import time
from dataclasses import asdict, replace
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from fewstep.errors import InvalidInput
from fewstep.networks.card import CARD_FILE
from fewstep.networks.zoo.classifier import to_network_range
from fewstep.networks.zoo.classifier_training import accuracy, train_classifier
from fewstep.networks.zoo.data import load_digits_images
from fewstep.networks.zoo.recipe import (
    DIGITS_UNET,
    NULL_LABEL,
    PROCESS,
    TrainingSettings,
    digits_card,
)
from fewstep.networks.zoo.train_guides import write_guides
from fewstep.networks.zoo.training import Trainer
from fewstep.networks.zoo.weights_file import save_tensors

_LOG = logging.getLogger(__name__)
_CHECKPOINT_EVERY = 250  # steps: under half a minute is lost to a kill
_CHECKPOINT = "checkpoint.safetensors"


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)  # such a small network gains nothing from more; and sums keep order
    options.out.mkdir(parents=True, exist_ok=True)
    if options.model == "digits-guides":
        write_guides(options.out, seed=options.seed, num_steps=options.steps)
        return
    settings = TrainingSettings(seed=options.seed)
    if options.steps is not None:
        settings = replace(settings, num_steps=options.steps)
    write_classifier(options.out, seed=options.seed)
    write_unet(options.out, settings)
    write_card(options.out)


def write_classifier(folder: Path, *, seed: int) -> None:
    """Train the classifier, unless the folder has one, and log its accuracy."""
    path = folder / "classifier.safetensors"
    if path.exists():
        _LOG.info("classifier: kept %s", path)
        return
    started = time.monotonic()
    model = train_classifier(seed)
    save_tensors(model.state_dict(), path)
    images, labels = (torch.from_numpy(part) for part in load_digits_images("heldout"))
    share = accuracy(model, images, labels)
    _LOG.info(
        "classifier: %.1f s, accuracy %.4f on %d held-out images",
        time.monotonic() - started,
        share,
        len(labels),
    )


def write_unet(folder: Path, settings: TrainingSettings) -> None:
    """Train the network from the folder's checkpoint, if it has one, to the last step."""
    trainer = open_trainer(folder, settings)
    images, labels = (torch.from_numpy(part) for part in load_digits_images("train"))
    x, started, losses = to_network_range(images), time.monotonic(), list[float]()
    for loss in trainer.run(x, labels):
        losses.append(loss)
        if trainer.step % _CHECKPOINT_EVERY and trainer.step < settings.num_steps:
            continue
        save_checkpoint(trainer, folder)
        rate = len(losses) / (time.monotonic() - started)
        recent = sum(losses[-_CHECKPOINT_EVERY:]) / len(losses[-_CHECKPOINT_EVERY:])
        _LOG.info("unet: step %d, loss %.5f, %.1f steps/s", trainer.step, recent, rate)
    weights = {name: value.half() for name, value in trainer.average.items()}
    save_tensors(weights, folder / "unet.safetensors")


def open_trainer(folder: Path, settings: TrainingSettings) -> Trainer:
    """A trainer at the folder's checkpoint, or at step 0.

    Raises:
        InvalidInput: the checkpoint was written under other settings.
    """
    trainer = Trainer(DIGITS_UNET, settings, null_label=NULL_LABEL, process=PROCESS)
    path = folder / _CHECKPOINT
    if path.exists():
        with safe_open(path, "pt") as file:
            written = json.loads(file.metadata()["settings"])
        if written != asdict(settings):
            raise InvalidInput(
                f"{path} was written under {written}, not {asdict(settings)}: "
                "use its settings or another --out"
            )
        trainer.restore(load_file(path))
    return trainer


def save_checkpoint(trainer: Trainer, folder: Path) -> None:
    """Write all of the trainer's state, at once or not at all."""
    metadata = {"settings": json.dumps(asdict(trainer.settings))}
    save_tensors(trainer.state(), folder / _CHECKPOINT, metadata=metadata)


def write_card(folder: Path) -> None:
    """Write the card of the folder's weights; `benchmarks.model_card` adds what it measures."""
    weights = (folder / "unet.safetensors").read_bytes()
    card = digits_card(hashlib.sha256(weights).hexdigest())
    (folder / CARD_FILE).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fewstep.networks.zoo.train", description=__doc__
    )
    parser.add_argument("model", choices=["digits", "digits-guides"])
    parser.add_argument("--out", type=Path, required=True, help="folder to write, or to resume")
    parser.add_argument("--steps", type=int, help="of each network; its recipe's by default")
    parser.add_argument("--seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    main()
