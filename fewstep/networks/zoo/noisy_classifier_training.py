"""Train the `noisy-label` guide: minutes on one core, seeded."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from fewstep.networks.zoo.classifier import to_network_range
from fewstep.networks.zoo.classifier_training import augment
from fewstep.networks.zoo.data import NUM_CLASSES, load_digits_images
from fewstep.networks.zoo.noisy_classifier import NoisyClassifier
from fewstep.networks.zoo.recipe import IMAGE_SHAPE, PROCESS

NUM_STEPS = 4000
_BATCH = 128
_PEAK_RATE = 2e-3
_WEIGHT_DECAY = 0.05
# A tenth of the clean classifier's: guidance is of states of the model, which saw plain images.
_AUGMENTATION = 0.1
_NUM_QUINTILES = 5
_DRAWS_PER_IMAGE = 10  # held-out states per image and quintile
_MEASURING_SEED = 11


def train_noisy_classifier(seed: int, *, num_steps: int = NUM_STEPS) -> NoisyClassifier:
    """Train on the train split alone; the same seed gives the same weights.

    Network times are uniform over the training indices, labels are not smoothed.
    """
    images, labels = (torch.from_numpy(part) for part in load_digits_images("train"))
    x0 = to_network_range(images)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = NoisyClassifier(NUM_CLASSES, IMAGE_SHAPE)
        _fit(model.train(), x0, labels, num_steps)
        model.eval()
        lowest = torch.zeros(len(x0), dtype=torch.long)
        model.set_prototypes(noised(x0, lowest), lowest, labels)
    return model


def noised(x0: Tensor, indices: Tensor) -> Tensor:
    """States alpha x0 + sigma eps at training indices (B,), from the global generator."""
    alpha, sigma = _coefficients()[:, indices, None, None, None]
    states: Tensor = alpha * x0 + sigma * torch.randn_like(x0)
    return states


@torch.no_grad()
def noisy_label_figures(model: NoisyClassifier) -> dict[str, object]:
    """Accuracy and cross-entropy on held-out images, by quintile of the time, lowest first."""
    images, labels = (torch.from_numpy(part) for part in load_digits_images("heldout"))
    x0, labels = (part.repeat_interleave(_DRAWS_PER_IMAGE, 0) for part in (images, labels))
    width = PROCESS.num_train_timesteps // _NUM_QUINTILES
    accuracies, entropies = [], []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_MEASURING_SEED)
        for quintile in range(_NUM_QUINTILES):
            indices = quintile * width + torch.randint(width, (len(x0),))
            logits = model(noised(to_network_range(x0), indices), indices)
            accuracies.append(float((logits.argmax(1) == labels).double().mean()))
            entropies.append(float(cross_entropy(logits, labels)))
    return {
        "num_heldout": len(images),
        "states_per_quintile": len(x0),
        "accuracy_by_quintile": accuracies,
        "cross_entropy_by_quintile": entropies,
    }


@lru_cache(maxsize=1)
def _coefficients() -> Tensor:
    """Alpha and sigma of every training index, (2, N)."""
    levels = [PROCESS.at(PROCESS.time_of(k)) for k in range(PROCESS.num_train_timesteps)]
    return torch.tensor([[level.alpha for level in levels], [level.sigma for level in levels]])


def _fit(model: NoisyClassifier, x0: Tensor, labels: Tensor, num_steps: int) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=_PEAK_RATE, weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * step / num_steps))
    )
    for _ in range(num_steps):
        rows = torch.randint(len(x0), (_BATCH,))
        indices = torch.randint(PROCESS.num_train_timesteps, (_BATCH,))
        logits = model(noised(augment(x0[rows], strength=_AUGMENTATION), indices), indices)
        optimizer.zero_grad()
        cross_entropy(logits, labels[rows]).backward()
        optimizer.step()
        schedule.step()
