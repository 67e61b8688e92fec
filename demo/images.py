"""Images from one noise: our sampler's, and those of diffusers for the downloaded schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from evaluators.banks import Bank, NoiseBank
from fewstep.networks.card import ModelCard
from fewstep.networks.denoising import balanced_labels, model_denoiser, schedule_denoiser
from fewstep.networks.models import load_network
from fewstep.reuse import diffusers
from fewstep.running import sample
from fewstep.schedule import Schedule
from fewstep.spacing import grid


@dataclass(frozen=True, slots=True)
class Start:
    """What every picture starts from: noise (B, C, H, W) and labels (B,) of the report bank."""

    card: ModelCard
    network: nn.Module
    noise: Tensor
    labels: Tensor


def start_of(card: ModelCard, count: int) -> Start:
    """The first `count` images of the report bank, and the loaded network."""
    bank = NoiseBank(card.image_shape, card.num_classes, Bank("report"))
    noise = torch.from_numpy(bank.noise(0, count))
    return Start(card, load_network(card), noise, balanced_labels(card, count))


@torch.inference_mode()
def run_ours(start: Start, schedule: Schedule) -> Tensor:
    """The downloaded schedule through our sampler, shape (B, C, H, W)."""
    denoiser = schedule_denoiser(schedule, start.card, labels=start.labels, network=start.network)
    return schedule.sample(denoiser, start.noise)


@torch.inference_mode()
def run_diffusers(start: Start, schedule: Schedule) -> Tensor:
    """The downloaded schedule through diffusers' scheduler, with the same network and noise."""

    def predict(x: Tensor, index: int) -> Tensor:
        time = torch.full((x.shape[0],), float(index))
        noise: Tensor = start.network(x, time, start.labels)
        return noise

    return diffusers.sample(schedule, predict, start.noise)


@torch.inference_mode()
def run_times(start: Start, times: Sequence[float], solver: str) -> Tensor:
    """Any grid through our sampler."""
    denoiser = model_denoiser(start.card, labels=start.labels, network=start.network)
    process = start.card.make_process()
    return sample(denoiser, start.noise, times=times, process=process, solver=solver)


def run_teacher(start: Start) -> Tensor:
    """The card's full-step sampler."""
    teacher = start.card.teacher
    times = grid(teacher["grid"], start.card.make_process(), teacher["nfe"])
    return run_times(start, times, teacher["solver"])
