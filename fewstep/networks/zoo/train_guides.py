"""Train the guides of `zoo:digits`, measure them on held-out images, and list them in the card."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from pathlib import Path

from torch import nn

from fewstep.errors import InvalidInput
from fewstep.networks.card import CARD_FILE, GuideKind
from fewstep.networks.guides import GRID_KEY
from fewstep.networks.zoo import noise_level_classifier_training as noise_level
from fewstep.networks.zoo import noisy_classifier_training as noisy_label
from fewstep.networks.zoo.weights_file import save_tensors

Figures = dict[str, object]

_LOG = logging.getLogger(__name__)


def write_guides(folder: Path, *, seed: int, num_steps: int | None = None) -> None:
    """Train both guides into a model folder; its card lists them once both are there.

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
        "noisy-label": _write_noisy_label(folder, seed, num_steps or noisy_label.NUM_STEPS),
        "noise-level": _write_noise_level(folder, seed, num_steps or noise_level.NUM_STEPS),
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


def _write_noisy_label(folder: Path, seed: int, num_steps: int) -> Figures:
    started = time.monotonic()
    model = noisy_label.train_noisy_classifier(seed, num_steps=num_steps)
    _log_time("noisy-label", num_steps, started)
    path = folder / "noisy-label.safetensors"
    _save_and_round(model, path, metadata=None)
    return _entry("noisy-label", path, model, num_steps, noisy_label.noisy_label_figures(model))


def _write_noise_level(folder: Path, seed: int, num_steps: int) -> Figures:
    started = time.monotonic()
    model = noise_level.train_noise_level(seed, num_steps=num_steps)
    _log_time("noise-level", num_steps, started)
    path = folder / "noise-level.safetensors"
    _save_and_round(model, path, metadata={GRID_KEY: json.dumps(noise_level.level_grid())})
    return _entry("noise-level", path, model, num_steps, noise_level.noise_level_figures(model))


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
