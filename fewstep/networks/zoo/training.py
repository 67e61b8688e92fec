"""Train a noise-predicting network, resumable at any step from one safetensors file.

Every draw of a step (batch, times, noise, mirrored images, dropped labels, dropout) comes from a
generator seeded by (seed, step), so the state is the tensors and the step count alone.
Ref: Ho et al. 2020, Alg. 1; Ho & Salimans 2021 (dropped labels).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.optim.swa_utils import get_ema_multi_avg_fn

from fewstep.networks.adm.config import UNetConfig
from fewstep.networks.adm.unet import UNet
from fewstep.networks.zoo.recipe import TrainingSettings
from fewstep.process import VPDiscrete

_EMA_RAMP = 10  # the average forgets its start within about this many steps


class Trainer:
    """A network, its running average, its optimizer and the number of steps done.

    On a GPU the network is compiled and its images lie channels last. On processors both were
    measured to give a tenth at best, for a minute of compilation: there it runs as it is written.
    """

    def __init__(
        self,
        config: UNetConfig,
        settings: TrainingSettings,
        *,
        null_label: int,
        process: VPDiscrete,
        device: str = "cpu",
    ) -> None:
        self.settings = settings
        self.null_label = null_label
        self.device = torch.device(device)
        levels = [process.at(process.time_of(k)) for k in range(process.num_train_timesteps)]
        self.alpha = torch.tensor([level.alpha for level in levels], device=self.device)
        self.sigma = torch.tensor([level.sigma for level in levels], device=self.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.network = UNet(config).train()
        self.network.to(self.device)
        self._predict: Callable[[Tensor, Tensor, Tensor], Tensor] = self.network
        if self.device.type == "cuda":
            self.network.to(memory_format=torch.channels_last)
            self._predict = torch.compile(self.network)
        self.average = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=settings.peak_rate, betas=(0.9, 0.99), weight_decay=0.0
        )
        self.step = 0

    def run(self, x: Tensor, labels: Tensor) -> Iterator[float]:
        """Do the steps that are left, on images (N, C, H, W) in [-1, 1]; yields each loss."""
        x, labels = x.to(self.device), labels.to(self.device)
        devices = [self.device] if self.device.type == "cuda" else []
        while self.step < self.settings.total_steps:
            with torch.random.fork_rng(devices=devices):
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
        self.average = {
            name: value.to(self.device) for name, value in _part(state, "average.").items()
        }
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in _part(state, "optimizer.").items():
            index, name = key.split(".")
            moments.setdefault(int(index), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.step = int(state["step"])

    def _loss(self, x: Tensor, labels: Tensor) -> Tensor:
        size, on = self.settings.batch_size, self.device
        rows = torch.randint(len(x), (size,), device=on)
        # Stratified times: one from each of `size` equal slices, for less noise in the loss.
        slices = torch.arange(size, device=on) + torch.rand(size, device=on)
        k = (slices * (len(self.alpha) / size)).long().clamp(max=len(self.alpha) - 1)
        dropped = torch.rand(size, device=on) < self.settings.label_dropout
        y = torch.where(dropped, self.null_label, labels[rows])
        eps = torch.randn(size, *x.shape[1:], device=on)
        alpha, sigma = (table[k][:, None, None, None] for table in (self.alpha, self.sigma))
        x0 = _half_mirrored(x[rows]) if self.settings.flip else x[rows]
        with torch.autocast(on.type, torch.bfloat16, enabled=self.settings.autocast):
            predicted = self._predict(alpha * x0 + sigma * eps, k.float(), y)
        gamma = _cycle_of(self.step, self.settings).min_snr_gamma
        if gamma is None:
            return mse_loss(predicted.float(), eps)
        weight = min_snr_weight(alpha.flatten(), sigma.flatten(), gamma)
        return (weight * (predicted.float() - eps).square().mean(dim=(1, 2, 3))).mean()

    def _update(self, loss: Tensor) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = rate_at(self.step, self.settings)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.max_gradient_norm)
        self.optimizer.step()
        decay = min(self.settings.ema_decay, (1 + self.step) / (_EMA_RAMP + self.step))
        now = self.network.state_dict()
        averages = [self.average[name] for name in now]
        get_ema_multi_avg_fn(decay)(averages, list(now.values()), self.step)


def _half_mirrored(x: Tensor) -> Tensor:
    mirrored = torch.rand(len(x), device=x.device) < 0.5
    return torch.where(mirrored[:, None, None, None], x.flip(3), x)


def min_snr_weight(alpha: Tensor, sigma: Tensor, gamma: float) -> Tensor:
    """Weights (N,), one on average, that keep nearly clean states from drowning the others.

    Ref: Hang et al. 2023, Eq. 8 for noise prediction: min(SNR, gamma) / SNR.
    """
    snr = (alpha / sigma).square()
    weight = snr.clamp(max=gamma) / snr
    return weight / weight.mean()


def rate_at(step: int, settings: TrainingSettings) -> float:
    """The learning rate: in each cycle linear warm-up, then half a cosine down to zero."""
    cycle = _cycle_of(step, settings)
    done = step - cycle.first_step
    if done < settings.warmup_steps:
        return cycle.peak_rate * ((done + 1) / settings.warmup_steps)
    left = cycle.num_steps - settings.warmup_steps
    return cycle.peak_rate * (
        0.5 * (1 + math.cos(math.pi * (done - settings.warmup_steps) / max(left, 1)))
    )


class _Cycle(NamedTuple):
    first_step: int
    num_steps: int
    peak_rate: float
    min_snr_gamma: float | None


def _cycle_of(step: int, settings: TrainingSettings) -> _Cycle:
    found = _Cycle(0, settings.num_steps, settings.peak_rate, None)
    for restart in settings.restarts:
        first = found.first_step + found.num_steps
        if step >= first:
            found = _Cycle(first, restart.num_steps, restart.peak_rate, restart.min_snr_gamma)
    return found


def _step_seed(seed: int, step: int) -> int:
    """A seed per (seed, step), unrelated between steps."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> 1)


def _part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }
