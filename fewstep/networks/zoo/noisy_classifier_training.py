"""Train the `noisy-label` guide: minutes on one core, seeded."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from fewstep.networks.zoo.classifier import to_network_range
from fewstep.networks.zoo.colour_classifier_training import mirror_and_shift
from fewstep.networks.zoo.data import Images, Labels
from fewstep.networks.zoo.digits_classifier_training import move_digits
from fewstep.networks.zoo.noisy_classifier import NoisyClassifier
from fewstep.networks.zoo.recipe import Recipe
from fewstep.process import VPDiscrete

_BATCH = 128
_PEAK_RATE = 2e-3
_WEIGHT_DECAY = 0.05
# A tenth of the clean classifier's: guidance is of states of the model, which saw plain images.
_AUGMENTATION = 0.1
_CHUNK = 5000  # states at a time, without gradients
_NUM_QUINTILES = 5
_MIN_STATES = 2970  # held-out states per quintile, drawn evenly from all images
_MEASURING_SEED = 11


def train_noisy_classifier(
    recipe: Recipe, images: Images, labels: Labels, *, seed: int, num_steps: int | None = None
) -> NoisyClassifier:
    """Train on images (N, C, H, W) of 0..255 and labels (N,); a seed gives the same weights.

    Network times are uniform over the training indices, labels are not smoothed.
    """
    x0, classes = to_network_range(torch.from_numpy(images)), torch.from_numpy(labels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = NoisyClassifier(
            recipe.num_classes, recipe.image_shape, layers=recipe.noisy_label_layers
        )
        _fit(recipe, model.train(), x0, classes, num_steps or recipe.noisy_label_steps)
        model.eval()
        lowest = torch.zeros(len(x0), dtype=torch.long)
        model.set_prototypes(noised(recipe.process, x0, lowest), lowest, classes)
    return model


def noised(process: VPDiscrete, x0: Tensor, indices: Tensor) -> Tensor:
    """States alpha x0 + sigma eps at training indices (B,), from the global generator."""
    alpha, sigma = _coefficients(process)[:, indices, None, None, None]
    states: Tensor = alpha * x0 + sigma * torch.randn_like(x0)
    return states


@torch.no_grad()
def noisy_label_figures(
    recipe: Recipe, model: NoisyClassifier, images: Images, labels: Labels
) -> dict[str, object]:
    """Accuracy and cross-entropy by quintile of the time, lowest first, on held-out images."""
    draws = max(1, _MIN_STATES // len(images))
    x0 = torch.from_numpy(images).repeat_interleave(draws, 0)
    classes = torch.from_numpy(labels).repeat_interleave(draws, 0)
    width = recipe.process.num_train_timesteps // _NUM_QUINTILES
    accuracies, entropies = [], []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_MEASURING_SEED)
        for quintile in range(_NUM_QUINTILES):
            indices = quintile * width + torch.randint(width, (len(x0),))
            states = noised(recipe.process, to_network_range(x0), indices)
            parts = zip(states.split(_CHUNK), indices.split(_CHUNK), strict=True)
            logits = torch.cat([model(x, k) for x, k in parts])
            accuracies.append(float((logits.argmax(1) == classes).double().mean()))
            entropies.append(float(cross_entropy(logits, classes)))
    return {
        "num_heldout": len(images),
        "states_per_quintile": len(x0),
        "accuracy_by_quintile": accuracies,
        "cross_entropy_by_quintile": entropies,
    }


@lru_cache(maxsize=4)
def _coefficients(process: VPDiscrete) -> Tensor:
    """Alpha and sigma of every training index, (2, N)."""
    levels = [process.at(process.time_of(k)) for k in range(process.num_train_timesteps)]
    return torch.tensor([[level.alpha for level in levels], [level.sigma for level in levels]])


def _fit(
    recipe: Recipe, model: NoisyClassifier, x0: Tensor, labels: Tensor, num_steps: int
) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=_PEAK_RATE, weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * step / num_steps))
    )
    for _ in range(num_steps):
        rows = torch.randint(len(x0), (_BATCH,))
        indices = torch.randint(recipe.process.num_train_timesteps, (_BATCH,))
        logits = model(noised(recipe.process, _augmented(recipe, x0[rows]), indices), indices)
        optimizer.zero_grad()
        cross_entropy(logits, labels[rows]).backward()
        optimizer.step()
        schedule.step()


def _augmented(recipe: Recipe, x0: Tensor) -> Tensor:
    if recipe.classifier.kind == "colour":
        return mirror_and_shift(x0)
    return move_digits(x0, strength=_AUGMENTATION)
