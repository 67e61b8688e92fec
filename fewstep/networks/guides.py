"""Guides: the small networks that stand beside a model's weights and are named in its card.

A `noisy-label` guide tells classes of noisy states; its gradient steers sampling. A `noise-level`
guide gives the posterior of a state's noise-to-signal ratio; denoising MCMC draws from it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load
from torch import Tensor

from fewstep.errors import ChecksFailed, UnknownName
from fewstep.networks.card import Guide, GuideKind, ModelCard
from fewstep.networks.checkpoint import check_sha256, check_shapes, read_header
from fewstep.networks.zoo.noise_level_classifier import NoiseLevelClassifier
from fewstep.networks.zoo.noisy_classifier import DEFAULT_LAYERS, NoisyClassifier

GRID_KEY = "rho"  # in a noise-level guide's metadata: its classes as a JSON list, descending


def load_guide(
    card: ModelCard, name: str, *, device: str = "cpu"
) -> NoisyClassifier | NoiseLevelClassifier:
    """A guide of a card: float32, evaluating, its weights without gradients.

    A `noisy-label` guide is called as `guide(x, network_time)` on process states, a `noise-level`
    guide as `guide(x / alpha)`.

    Raises:
        InvalidInput: the card has no such guide.
        UnsafeCheckpoint: its file is no complete safetensors file.
        ChecksFailed: the file is not the one the card speaks of.
    """
    path, entry = card.guide_path(name), card.guides[name]
    header = read_header(path)
    content = path.read_bytes()
    check_sha256(path.name, hashlib.sha256(content).hexdigest(), entry["sha256"])
    # Tensors made in inference mode could not be differentiated through later.
    with torch.inference_mode(mode=False):
        network = _untrained(card, path, entry)
        wanted = {key: tuple(value.shape) for key, value in network.state_dict().items()}
        check_shapes(path.name, {key: found.shape for key, found in header.items()}, wanted)
        network.load_state_dict(load(content), strict=True)  # copies into float32
        return network.to(device).eval().requires_grad_(False)


def label_classifier(card: ModelCard, *, device: str = "cpu") -> NoisyClassifier:
    """The card's `noisy-label` guide, see `load_guide`.

    Raises:
        UnknownName: the card has none.
    """
    network = load_guide(card, _name_of(card, "noisy-label"), device=device)
    assert isinstance(network, NoisyClassifier)
    return network


def noise_level_posterior(
    card: ModelCard, *, device: str = "cpu"
) -> tuple[NoiseLevelClassifier, Tensor]:
    """The card's `noise-level` guide and the rho of its classes, descending, in float64.

    The softmax of its logits is p(rho | x / alpha) under a log-uniform prior over the grid.
    Ref: Kim & Ye 2023, section 3.

    Raises:
        UnknownName: the card has none.
    """
    name = _name_of(card, "noise-level")
    network = load_guide(card, name, device=device)
    assert isinstance(network, NoiseLevelClassifier)
    grid = torch.tensor(_read_grid(card.guide_path(name)), dtype=torch.float64, device=device)
    return network, grid


def _name_of(card: ModelCard, kind: GuideKind) -> str:
    for name, entry in card.guides.items():
        if entry["kind"] == kind:
            return name
    raise UnknownName(
        f"model={card.name!r}: its card lists no guide of kind {kind!r}; "
        f"allowed: models that have one, such as zoo:digits",
        field="model",
    )


def _untrained(card: ModelCard, path: Path, entry: Guide) -> NoisyClassifier | NoiseLevelClassifier:
    with torch.random.fork_rng(devices=[]):  # the weights it draws first are nobody's randomness
        if entry["kind"] == "noise-level":
            return NoiseLevelClassifier(_read_grid(path), card.image_shape)
        assert card.num_classes is not None  # the card was checked
        layers = entry.get("layers", DEFAULT_LAYERS)
        return NoisyClassifier(card.num_classes, card.image_shape, layers=layers)


def _read_grid(path: Path) -> list[float]:
    with safe_open(path, "pt") as file:
        written = (file.metadata() or {}).get(GRID_KEY, "")
    try:
        grid = [float(value) for value in json.loads(written)]
    except (ValueError, TypeError) as error:
        raise _bad_grid(path) from error
    pairs = zip(grid, [*grid[1:], 0.0], strict=True)
    if not grid or not all(float("inf") > noisier > cleaner for noisier, cleaner in pairs):
        raise _bad_grid(path)
    return grid


def _bad_grid(path: Path) -> ChecksFailed:
    return ChecksFailed(
        f"{path.name}: metadata {GRID_KEY!r} is no grid of noise levels; "
        "allowed: a JSON list of positive, strictly decreasing numbers",
        field="model",
    )
