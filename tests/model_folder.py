"""Small real models for tests: an ADM UNet with seeded random weights, in a folder of its own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from evaluators.checksum import file_sha256
from evaluators.reference_builder import build_reference
from fewstep.networks.adm.config import UNetConfig
from fewstep.networks.adm.unet import UNet
from fewstep.networks.guides import GRID_KEY
from fewstep.networks.zoo.digits_data import load_digits_images
from fewstep.networks.zoo.digits_recipe import DIGITS
from fewstep.networks.zoo.noise_level_classifier import NoiseLevelClassifier
from fewstep.networks.zoo.noisy_classifier import NoisyClassifier
from fewstep.process import VPDiscrete

MODEL = "file:random"
NUM_CLASSES = 10


def write_model(
    root: Path,
    *,
    is_conditional: bool = True,
    num_images: int = 300,
    output_bias: float = 0.0,
    gradient_cost: float | None = None,
    has_level_guide: bool = False,
) -> str:
    """Write a model folder under `root`, and return the reference that finds it there.

    It has the bundled model's architecture, pixels as features, and real digits as reference.
    An `output_bias` that is no finite number makes a network whose images are not either. With a
    `gradient_cost` the model has a noisy-label guide with random weights, of that cost; with a
    level guide, a noise-level one.
    """
    folder = root / MODEL.removeprefix("file:")
    folder.mkdir(parents=True)
    config = DIGITS.unet if is_conditional else replace(DIGITS.unet, num_classes=None)
    weights = _random_weights(config)
    weights["out.2.bias"] += output_bias
    save_file(weights, folder / "unet.safetensors")
    images, _ = load_digits_images("all")
    reference = build_reference(images[:num_images], extractor="pixels", source="digits")
    reference.save(folder / "reference-digits.safetensors")
    card = _card(config, file_sha256(folder / "unet.safetensors"))
    guides = {}
    if gradient_cost is not None:
        guides["labels"] = _write_guide(folder / "labels.safetensors", gradient_cost)
    if has_level_guide:
        guides["levels"] = _write_level_guide(folder / "levels.safetensors")
    card["guides"] = guides
    (folder / "card.json").write_text(json.dumps(card))
    return MODEL


def _write_guide(path: Path, gradient_cost: float) -> dict[str, object]:
    """A noisy-label guide, and its entry in the card."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_file(NoisyClassifier(NUM_CLASSES, (1, 8, 8)).state_dict(), path)
    return {
        "kind": "noisy-label",
        "file": path.name,
        "sha256": file_sha256(path),
        "gradient_cost": gradient_cost,
        "measured": {},
    }


def _write_level_guide(path: Path) -> dict[str, object]:
    """A noise-level guide, and its entry in the card."""
    grid = [100.0 * 0.85**j for j in range(50)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        weights = NoiseLevelClassifier(grid, (1, 8, 8)).state_dict()
    save_file(weights, path, metadata={GRID_KEY: json.dumps(grid)})
    return {
        "kind": "noise-level",
        "file": path.name,
        "sha256": file_sha256(path),
        "measured": {},
    }


def _random_weights(config: UNetConfig) -> dict[str, Tensor]:
    """Seeded weights of a usual size; the architecture's own start has zeros in places."""
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for name, value in UNet(config).state_dict().items():
        fan_in = max(1, value[0].numel())
        noise = torch.randn(value.shape, generator=generator)
        weights[name] = noise / fan_in**0.5 if value.dim() > 1 else 1.0 + 0.1 * noise
    return weights


def _card(config: UNetConfig, weights_sha256: str) -> dict[str, object]:
    is_conditional = config.num_classes is not None
    return {
        "name": MODEL,
        "architecture": {"kind": "adm-unet", **config.to_dict()},
        "process": VPDiscrete.linear().describe(),
        "prediction": "noise",
        "num_classes": NUM_CLASSES if is_conditional else None,
        "null_label": NUM_CLASSES if is_conditional else None,
        "image_shape": [1, 8, 8],
        "clip_denoised": True,
        "weights_file": "unet.safetensors",
        "weights_sha256": weights_sha256,
        "extractor": "pixels",
        "default_reference": "digits",
        "references": {"digits": "reference-digits.safetensors"},
        "teacher": {
            "solver": "ddim",
            "grid": "leading",
            "nfe": 20,
            "num_samples": 256,
            "max_fid": 10.0,
        },
        "measured": {},
        "licence": "Apache-2.0",
    }
