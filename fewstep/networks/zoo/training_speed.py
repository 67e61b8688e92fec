"""How fast a training ran, and which share of the device's arithmetic it used."""

from __future__ import annotations

import json
import os
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from fewstep.networks.zoo.processor import processor_name
from fewstep.networks.zoo.training import Trainer

_LOG_FILE = "training.json"  # beside the checkpoint
_MATRIX_SIDES = {"cpu": 2048, "cuda": 8192}
_REPETITIONS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """One run of the training command, from its first to its last checkpoint."""

    device: str
    threads: int
    torch_version: str
    first_step: int
    last_step: int
    seconds: float


def device_name(device: torch.device) -> str:
    """The chip, as it calls itself."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()


def add_stretch(folder: Path, stretch: Stretch) -> None:
    """Append to the folder's log; a stretch that goes on from the same step replaces the last."""
    log = [row for row in read_stretches(folder) if row.first_step < stretch.first_step]
    content = json.dumps([asdict(row) for row in [*log, stretch]], indent=2)
    partial = folder / f"{_LOG_FILE}.partial"
    partial.write_text(content + "\n", encoding="utf-8")
    os.replace(partial, folder / _LOG_FILE)


def read_stretches(folder: Path) -> list[Stretch]:
    """The folder's log, oldest first; empty where there is none."""
    path = folder / _LOG_FILE
    if not path.exists():
        return []
    return [Stretch(**row) for row in json.loads(path.read_text(encoding="utf-8"))]


def training_figures(
    folder: Path, trainer: Trainer, image_shape: tuple[int, int, int]
) -> dict[str, object]:
    """Images seen and per second, arithmetic of one image, and its share of the chip's bf16 rate.

    Rates are means over the logged stretches; the chip's rate is measured now, by a matrix product.
    """
    stretches, batch = read_stretches(folder), trainer.settings.batch_size
    steps = sum(row.last_step - row.first_step for row in stretches)
    rate = steps * batch / max(sum(row.seconds for row in stretches), 1e-9)
    flops, peak = flops_per_image(trainer, image_shape), bf16_rate(trainer.device)
    return {
        "steps": trainer.step,
        "images_seen": trainer.step * batch,
        "devices": sorted({row.device for row in stretches}),
        "threads": sorted({row.threads for row in stretches}),
        "torch": sorted({row.torch_version for row in stretches}),
        "images_per_second": rate,
        "flops_per_image": flops,
        "bf16_flops_per_second": peak,
        "share_of_bf16_rate": rate * flops / peak,
    }


def flops_per_image(trainer: Trainer, image_shape: tuple[int, int, int]) -> float:
    """Operations of one image's forward and backward pass; two for a multiply-add."""
    x = torch.zeros(1, *image_shape, device=trainer.device)
    y = torch.zeros(1, dtype=torch.long, device=x.device)
    with FlopCounterMode(display=False) as counter:
        trainer.network(x, torch.zeros(1, device=x.device), y).sum().backward()
    trainer.optimizer.zero_grad()
    return float(counter.get_total_flops())


def bf16_rate(device: torch.device) -> float:
    """Operations per second of a large bfloat16 matrix product: the median of several."""
    side = _MATRIX_SIDES[device.type]
    a = torch.ones(side, side, dtype=torch.bfloat16, device=device)
    seconds = []
    for _ in range(_REPETITIONS):
        _wait(device)
        started = time.perf_counter()
        torch.mm(a, a)
        _wait(device)
        seconds.append(time.perf_counter() - started)
    return 2 * side**3 / statistics.median(seconds)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
