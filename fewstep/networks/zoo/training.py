"""Train a noise-predicting network, resumable at any step from one safetensors file.

Every draw of a step (batch, times, noise, dropped labels, dropout) comes from a generator seeded
by (seed, step), so the state is the tensors and the step count alone.
Ref: Ho et al. 2020, Alg. 1; Ho & Salimans 2021 (dropped labels).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from fewstep.networks.adm.config import UNetConfig
from fewstep.networks.adm.unet import UNet
from fewstep.networks.zoo.recipe import TrainingSettings
from fewstep.process import VPDiscrete

_EMA_RAMP = 10  # the average forgets its start within about this many steps


class Trainer:
    """A network, its running average, its optimizer and the number of steps done."""

    def __init__(
        self,
        config: UNetConfig,
        settings: TrainingSettings,
        *,
        null_label: int,
        process: VPDiscrete,
    ) -> None:
        self.settings = settings
        self.null_label = null_label
        levels = [process.at(process.time_of(k)) for k in range(process.num_train_timesteps)]
        self.alpha = torch.tensor([level.alpha for level in levels])
        self.sigma = torch.tensor([level.sigma for level in levels])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.network = UNet(config).train()
        self.average = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=settings.peak_rate, betas=(0.9, 0.99), weight_decay=0.0
        )
        self.step = 0

    def run(self, x: Tensor, labels: Tensor) -> Iterator[float]:
        """Do the steps that are left, on images (N, C, H, W) in [-1, 1]; yields each loss."""
        while self.step < self.settings.num_steps:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(_step_seed(self.settings.seed, self.step))
                loss = self._loss(x, labels)
                self._update(loss)
            self.step += 1
            yield float(loss.detach())

    def state(self) -> dict[str, Tensor]:
        """Everything `restore` needs, as named tensors."""
        found = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        found |= {f"average.{name}": value for name, value in self.average.items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            found |= {f"optimizer.{index}.{name}": value for name, value in moments.items()}
        return found | {"step": torch.tensor(self.step)}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from what `state` returned."""
        self.network.load_state_dict(_part(state, "network."))
        self.average = _part(state, "average.")
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in _part(state, "optimizer.").items():
            index, name = key.split(".")
            moments.setdefault(int(index), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.step = int(state["step"])

    def _loss(self, x: Tensor, labels: Tensor) -> Tensor:
        size = self.settings.batch_size
        rows = torch.randint(len(x), (size,))
        # Stratified times: one from each of `size` equal slices, for less noise in the loss.
        k = ((torch.arange(size) + torch.rand(size)) * (len(self.alpha) / size)).long()
        k = k.clamp(max=len(self.alpha) - 1)
        dropped = torch.rand(size) < self.settings.label_dropout
        y = torch.where(dropped, self.null_label, labels[rows])
        eps = torch.randn(size, *x.shape[1:])
        alpha, sigma = (table[k][:, None, None, None] for table in (self.alpha, self.sigma))
        with torch.autocast("cpu", torch.bfloat16, enabled=self.settings.autocast):
            predicted = self.network(alpha * x[rows] + sigma * eps, k.float(), y)
        return mse_loss(predicted.float(), eps)

    def _update(self, loss: Tensor) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.peak_rate * _rate_at(self.step, self.settings)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.max_gradient_norm)
        self.optimizer.step()
        decay = min(self.settings.ema_decay, (1 + self.step) / (_EMA_RAMP + self.step))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                self.average[name].lerp_(value, 1 - decay)


def _rate_at(step: int, settings: TrainingSettings) -> float:
    """Linear warm-up, then half a cosine down to zero, as a share of the peak rate."""
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    left = settings.num_steps - settings.warmup_steps
    return 0.5 * (1 + math.cos(math.pi * (step - settings.warmup_steps) / max(left, 1)))


def _step_seed(seed: int, step: int) -> int:
    """A seed per (seed, step), unrelated between steps."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> 1)


def _part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }
