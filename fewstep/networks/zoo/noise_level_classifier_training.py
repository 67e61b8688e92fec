"""Train the `noise-level` guide: minutes on one core, seeded; and hold it against exact posteriors.

The images are known, so the exact posterior of the noise level is too: that of a mixture of normal
densities around them. Its cross-entropy is the least that anyone could reach.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from fewstep.networks.zoo.classifier import to_network_range
from fewstep.networks.zoo.data import Images
from fewstep.networks.zoo.noise_level_classifier import NoiseLevelClassifier
from fewstep.networks.zoo.recipe import Recipe
from fewstep.process import VPDiscrete

NUM_LEVELS = 200
_BATCH = 128
_PEAK_RATE = 3e-3
_WARMUP_STEPS = 200
_WEIGHT_DECAY = 0.01
_NUM_BANDS = 4  # of equal width in log rho
_STATES_PER_BAND = 2000
_MEASURING_SEED = 12
_MAX_KNOWN = 10_000  # images of the exact posterior, which takes time in proportion
_EXACT_CHUNK = 500  # states at a time

Posterior = Callable[[Tensor], Tensor]  # states to logits over the classes


def level_grid(process: VPDiscrete) -> list[float]:
    """The classes: log-uniform over the process's noise-to-signal ratios, both ends, descending."""
    noisiest, cleanest = process.at(process.t_max).rho, process.at(process.t_min).rho
    inner = np.geomspace(noisiest, cleanest, NUM_LEVELS)[1:-1]
    return [noisiest, *inner.tolist(), cleanest]


def train_noise_level(
    recipe: Recipe, images: Images, *, seed: int, num_steps: int | None = None
) -> NoiseLevelClassifier:
    """Train on images (N, C, H, W) of 0..255; the same seed gives the same weights.

    No augmentation: whatever it adds to an image would be taken for noise.
    Ref: Kim & Ye 2023, section 3: cross-entropy, classes drawn uniformly.
    """
    x0, rho = to_network_range(torch.from_numpy(images)), level_grid(recipe.process)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = NoiseLevelClassifier(rho, recipe.image_shape)
        _fit(model.train(), x0, torch.tensor(rho), num_steps or recipe.noise_level_steps)
    return model.eval()


def noise_level_figures(
    process: VPDiscrete,
    model: NoiseLevelClassifier,
    *,
    train: Images,
    heldout: Images,
    states_per_band: int = _STATES_PER_BAND,
) -> dict[str, object]:
    """Cross-entropy, bias and calibration on held-out images, by band of rho, noisiest first.

    `reachable_cross_entropy` is that of the exact posterior among the held-out images and as many
    training images as make 10,000: a lower bound, since the network has not seen the former.
    """
    rho = torch.tensor(level_grid(process), dtype=torch.float64)
    x0 = to_network_range(torch.from_numpy(heldout))
    others = to_network_range(torch.from_numpy(train[: max(0, _MAX_KNOWN - len(heldout))]))
    exact = exact_posterior(torch.cat([x0, others]), rho)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_MEASURING_SEED)
        draws = [_band_levels(len(rho), band, states_per_band) for band in range(_NUM_BANDS)]
        bands = [_band_figures(model, exact, x0, rho, levels) for levels in draws]
    return {
        "num_heldout": len(x0),
        "num_known_to_reachable": len(x0) + len(others),
        "states_per_band": states_per_band,
        "chance_cross_entropy": math.log(len(rho)),
        "bands": bands,
    }


def exact_posterior(x0: Tensor, rho: Tensor) -> Posterior:
    """Logits of p(rho | x) for states around known images (N, C, H, W), in float64.

    Ref: p(x | rho) is the mean of N(x; x0, rho^2 I) over the images.
    """
    known = x0.double().flatten(1)

    def logits(x: Tensor) -> Tensor:
        square = torch.cdist(x.double().flatten(1), known).square()
        rows = [torch.logsumexp(square * (-0.5 / r**2), 1) - known.shape[1] * r.log() for r in rho]
        return torch.stack(rows, dim=1)

    return lambda x: torch.cat([logits(part) for part in x.split(_EXACT_CHUNK)])


def _fit(model: NoiseLevelClassifier, x0: Tensor, rho: Tensor, num_steps: int) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=_PEAK_RATE, weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: (
            min(1.0, (step + 1) / _WARMUP_STEPS) * 0.5 * (1 + math.cos(math.pi * step / num_steps))
        ),
    )
    for _ in range(num_steps):
        levels = torch.randint(len(rho), (_BATCH,))
        loss = cross_entropy(model(_noised(x0, rho[levels])), levels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def _band_levels(num_levels: int, band: int, count: int) -> Tensor:
    """Classes of one band, drawn uniformly."""
    width = num_levels // _NUM_BANDS
    return band * width + torch.randint(width, (count,))


@torch.no_grad()
def _band_figures(
    model: NoiseLevelClassifier, exact: Posterior, x0: Tensor, rho: Tensor, levels: Tensor
) -> dict[str, object]:
    x = _noised(x0, rho[levels].float())
    logits = model(x).double()
    error = rho.log()[logits.argmax(1)] - rho.log()[levels]
    return {
        "rho": [float(rho[levels].min()), float(rho[levels].max())],
        "cross_entropy": float(cross_entropy(logits, levels)),
        "reachable_cross_entropy": float(cross_entropy(exact(x), levels)),
        "argmax_bias": float(error.mean()),
        "argmax_sd": float(error.std()),
        "sampled_variance_ratio": _variance_ratio(logits, rho.log(), levels),
    }


def _variance_ratio(logits: Tensor, log_rho: Tensor, levels: Tensor) -> float:
    """Variance of sampled classes over that of the true ones, both about the posterior's mean.

    One where the softmax is calibrated: truth and sample are then drawn alike given the state.
    """
    share = logits.softmax(1)
    mean = share @ log_rho
    sampled = share @ log_rho.square() - mean.square()
    return float(sampled.mean() / (log_rho[levels] - mean).square().mean())


def _noised(x0: Tensor, rho: Tensor) -> Tensor:
    """One state per entry of rho (B,), each around a random image, from the global generator."""
    rows = torch.randint(len(x0), (len(rho),))
    return x0[rows] + rho[:, None, None, None] * torch.randn(len(rho), *x0.shape[1:])
