"""Train a bundled model: `python -m fewstep.networks.zoo.train digits --out DIR`.

Writes `classifier.safetensors`, `unet.safetensors` (half precision) and `card.json` into DIR, and
keeps `checkpoint.safetensors` there: the same command, run again, goes on from it. Models whose
images are not bundled need them: `--data PATH`.

With `--guides` it trains the small networks that guide the model instead, minutes each: DIR must
hold the model's `card.json`, which then lists them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from fewstep.errors import FewstepError, InvalidInput
from fewstep.networks.card import CARD_FILE
from fewstep.networks.zoo.classifier import ImageClassifier, load_classifier, to_network_range
from fewstep.networks.zoo.classifier_training import accuracy, train_classifier
from fewstep.networks.zoo.data import Images, Labels, Split
from fewstep.networks.zoo.recipe import CLASSIFIER_FILE, Recipe, TrainingSettings
from fewstep.networks.zoo.recipes import RECIPES
from fewstep.networks.zoo.train_guides import write_guides
from fewstep.networks.zoo.training import Trainer
from fewstep.networks.zoo.training_speed import (
    Stretch,
    add_stretch,
    device_name,
    training_figures,
)
from fewstep.networks.zoo.weights_file import save_tensors
from fewstep.process import VPDiscrete

_LOG = logging.getLogger(__name__)
_CHECKPOINT_EVERY = 250  # steps: little is lost to a kill
_CHECKPOINT = "checkpoint.safetensors"
_BETAS = {"linear": VPDiscrete.linear, "cosine": VPDiscrete.cosine}

Sets = dict[Split, tuple[Images, Labels]]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        _run(options)
    except FewstepError as error:
        sys.stderr.write(f"{error.message}\n")
        raise SystemExit(2) from error


def _run(options: argparse.Namespace) -> None:
    recipe = RECIPES[options.model]
    threads = recipe.threads if options.threads is None else options.threads
    if threads is not None:
        torch.set_num_threads(threads)
    if options.device != "cpu":  # processors repeat themselves as they are
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    if options.betas is not None:
        recipe = replace(recipe, process=_BETAS[options.betas]())
    splits: tuple[Split, ...] = ("train", "heldout")
    sets: Sets = {split: recipe.load(options.data, split) for split in splits}
    options.out.mkdir(parents=True, exist_ok=True)
    if options.guides:
        write_guides(recipe, options.out, sets, seed=options.seed, num_steps=options.steps)
        return
    settings = replace(recipe.settings, seed=options.seed)
    if options.steps is not None:
        settings = replace(settings, num_steps=options.steps, restarts=())
    write_classifier(
        recipe,
        options.out,
        sets,
        seed=options.seed,
        num_steps=options.steps,
        device=options.device,
    )
    trainer = open_trainer(recipe, options.out, settings, device=options.device)
    write_unet(recipe, trainer, options.out, *sets["train"])
    write_card(recipe, trainer, options.out)


def write_classifier(
    recipe: Recipe,
    folder: Path,
    sets: Sets,
    *,
    seed: int,
    num_steps: int | None = None,
    device: str = "cpu",
) -> None:
    """Train the classifier, unless the folder has one, and log its accuracy."""
    path = folder / CLASSIFIER_FILE
    if path.exists():
        _LOG.info("classifier: kept %s", path)
        return
    started = time.monotonic()
    model = train_classifier(recipe, *sets["train"], seed=seed, num_steps=num_steps, device=device)
    save_classifier(recipe, model, path)
    share = accuracy(load_classifier(recipe, folder), *sets["heldout"])
    _LOG.info(
        "classifier: %.1f s, accuracy %.4f on %d held-out images",
        time.monotonic() - started,
        share,
        len(sets["heldout"][1]),
    )


def save_classifier(recipe: Recipe, model: ImageClassifier, path: Path) -> None:
    """Write a classifier: the small one of digits in full, others in half precision."""
    is_halved = recipe.classifier.kind == "colour"
    weights = {
        name: value.half() if is_halved and value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }
    save_tensors(weights, path)


def write_unet(
    recipe: Recipe, trainer: Trainer, folder: Path, images: Images, labels: Labels
) -> None:
    """Train the network to the last step, with checkpoints in the folder, and write it there."""
    x, classes = to_network_range(torch.from_numpy(images)), torch.from_numpy(labels)
    first, started, losses = trainer.step, time.monotonic(), list[float]()
    for loss in trainer.run(x, classes):
        losses.append(loss)
        if trainer.step % _CHECKPOINT_EVERY and trainer.step < trainer.settings.total_steps:
            continue
        save_checkpoint(recipe, trainer, folder)
        seconds = time.monotonic() - started
        recent = sum(losses[-_CHECKPOINT_EVERY:]) / len(losses[-_CHECKPOINT_EVERY:])
        rate = len(losses) / seconds
        _LOG.info("unet: step %d, loss %.5f, %.1f steps/s", trainer.step, recent, rate)
        add_stretch(
            folder,
            Stretch(
                device=device_name(trainer.device),
                threads=torch.get_num_threads(),
                torch_version=torch.__version__,
                first_step=first,
                last_step=trainer.step,
                seconds=seconds,
            ),
        )
    weights = {name: value.half().cpu() for name, value in trainer.average.items()}
    save_tensors(weights, folder / "unet.safetensors")


def open_trainer(
    recipe: Recipe, folder: Path, settings: TrainingSettings, *, device: str = "cpu"
) -> Trainer:
    """A trainer at the folder's checkpoint, or at step 0.

    Raises:
        InvalidInput: the checkpoint was written under other settings.
    """
    trainer = Trainer(
        recipe.unet,
        settings,
        null_label=recipe.null_label,
        process=recipe.process,
        device=device,
    )
    path, wanted = folder / _CHECKPOINT, _identity(recipe, settings)
    if path.exists():
        with safe_open(path, "pt") as file:
            written = json.loads(file.metadata()["settings"])
        if written != wanted:
            names = sorted(key for key in wanted | written if wanted.get(key) != written.get(key))
            differ = {key: (written.get(key), wanted.get(key)) for key in names}
            raise InvalidInput(
                f"{path} was written under other settings: {differ} (there, here): "
                "use its settings or another --out",
                field="out",
            )
        trainer.restore(load_file(path))
    return trainer


def save_checkpoint(recipe: Recipe, trainer: Trainer, folder: Path) -> None:
    """Write all of the trainer's state, at once or not at all."""
    metadata = {"settings": json.dumps(_identity(recipe, trainer.settings))}
    save_tensors(trainer.state(), folder / _CHECKPOINT, metadata=metadata)


def write_card(recipe: Recipe, trainer: Trainer, folder: Path) -> None:
    """Write the card of the folder's weights; `benchmarks.model_card` adds what it measures."""
    weights = (folder / "unet.safetensors").read_bytes()
    card = recipe.card(hashlib.sha256(weights).hexdigest())
    card["measured"] = {"training": training_figures(folder, trainer, recipe.image_shape)}
    (folder / CARD_FILE).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def _identity(recipe: Recipe, settings: TrainingSettings) -> dict[str, object]:
    """What a checkpoint must have been written under, as JSON gives it back."""
    values = {
        "architecture": recipe.unet.to_dict(),
        "process": recipe.process.describe(),
        **asdict(settings),
    }
    found: dict[str, object] = json.loads(json.dumps(values))
    return found


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m fewstep.networks.zoo.train", description=__doc__)
    made.add_argument("model", choices=list(RECIPES))
    made.add_argument("--out", type=Path, required=True, help="folder to write, or to resume")
    made.add_argument("--data", type=Path, help="archive of the images that are not bundled")
    made.add_argument("--guides", action="store_true", help="train the guides instead")
    made.add_argument("--steps", type=int, help="of each network; its recipe's by default")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--betas", choices=list(_BETAS), help="the recipe's by default")
    made.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    made.add_argument("--threads", type=int, help="of the processor; the recipe's by default")
    return made


if __name__ == "__main__":
    main()
