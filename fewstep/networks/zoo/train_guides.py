"""Train a model's guides, measure them on held-out images, and list them in its card."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path

from torch import nn

from fewstep.errors import InvalidInput
from fewstep.networks.card import CARD_FILE, GuideKind
from fewstep.networks.guides import GRID_KEY
from fewstep.networks.zoo import noise_level_classifier_training as noise_level
from fewstep.networks.zoo import noisy_classifier_training as noisy_label
from fewstep.networks.zoo.data import Images, Labels, Split
from fewstep.networks.zoo.noisy_classifier import DEFAULT_LAYERS
from fewstep.networks.zoo.recipe import Recipe
from fewstep.networks.zoo.weights_file import save_tensors

Figures = dict[str, object]
Sets = Mapping[Split, tuple[Images, Labels]]

_LOG = logging.getLogger(__name__)


def write_guides(
    recipe: Recipe,
    folder: Path,
    sets: Sets,
    *,
    seed: int,
    num_steps: int | None = None,
) -> None:
    """Train both guides into a model folder; its card lists them once both are there.

    Args:
        recipe: The model's.
        folder: Holds its card.
        sets: Images and labels of the splits train and heldout.
        seed: Of both trainings.
        num_steps: Of each; the recipe's by default.

    Raises:
        InvalidInput: the folder has no card.
    """
    path = folder / CARD_FILE
    if not path.is_file():
        raise InvalidInput(
            f"out={str(folder)!r}: has no {CARD_FILE} to list the guides in; "
            "allowed: the folder of a trained model",
            field="out",
        )
    guides = {
        "noisy-label": _write_noisy_label(
            recipe, folder, sets, seed, num_steps or recipe.noisy_label_steps
        ),
        "noise-level": _write_noise_level(
            recipe, folder, sets, seed, num_steps or recipe.noise_level_steps
        ),
    }
    replace_in_card(folder, {"guides": guides})


def replace_in_card(folder: Path, fields: dict[str, object]) -> dict[str, object]:
    """Set fields of a folder's card, at once or not at all; returns the card's whole content."""
    path = folder / CARD_FILE
    document: dict[str, object] = json.loads(path.read_text(encoding="utf-8")) | fields
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, path)
    return document


def _write_noisy_label(
    recipe: Recipe, folder: Path, sets: Sets, seed: int, num_steps: int
) -> Figures:
    started = time.monotonic()
    model = noisy_label.train_noisy_classifier(
        recipe, *sets["train"], seed=seed, num_steps=num_steps
    )
    _log_time("noisy-label", num_steps, started)
    path = folder / "noisy-label.safetensors"
    _save_and_round(model, path, metadata=None)
    figures = noisy_label.noisy_label_figures(recipe, model, *sets["heldout"])
    entry = _entry("noisy-label", path, model, num_steps, figures)
    if model.layers != DEFAULT_LAYERS:
        entry["layers"] = [list(layer) for layer in model.layers]
    return entry


def _write_noise_level(
    recipe: Recipe, folder: Path, sets: Sets, seed: int, num_steps: int
) -> Figures:
    started = time.monotonic()
    train, heldout = sets["train"][0], sets["heldout"][0]
    model = noise_level.train_noise_level(recipe, train, seed=seed, num_steps=num_steps)
    _log_time("noise-level", num_steps, started)
    path = folder / "noise-level.safetensors"
    grid = json.dumps(noise_level.level_grid(recipe.process))
    _save_and_round(model, path, metadata={GRID_KEY: grid})
    figures = noise_level.noise_level_figures(recipe.process, model, train=train, heldout=heldout)
    return _entry("noise-level", path, model, num_steps, figures)


def _save_and_round(model: nn.Module, path: Path, *, metadata: dict[str, str] | None) -> None:
    """Write weights in half precision; the model then is what the file holds."""
    weights = {name: value.half() for name, value in model.state_dict().items()}
    save_tensors(weights, path, metadata=metadata)
    model.load_state_dict(weights)


def _entry(
    kind: GuideKind, path: Path, model: nn.Module, num_steps: int, figures: Figures
) -> Figures:
    content = path.read_bytes()
    size = {
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "file_bytes": len(content),
        "training_steps": num_steps,
    }
    return {
        "kind": kind,
        "file": path.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "measured": size | figures,
    }


def _log_time(name: str, num_steps: int, started: float) -> None:
    _LOG.info("%s: %d steps in %.1f s", name, num_steps, time.monotonic() - started)
