"""Draw the samples that a model card is measured on, and picture some of them."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from evaluators.banks import Bank, NoiseBank
from evaluators.features import Extractor, to_uint8
from fewstep.networks.card import ModelCard
from fewstep.networks.denoising import balanced_labels, model_denoiser
from fewstep.networks.models import load_network
from fewstep.program import trace
from fewstep.running import run
from fewstep.solvers import SOLVERS
from fewstep.spacing import grid

_BATCH = 256
_ROWS = 10  # of the picture
_ZOOM = 6  # screen pixels per pixel of an image
_GAP = 1  # pixels between images
_GAP_GREY = 96


@dataclass(frozen=True, slots=True)
class SampleSet:
    """Images (N, C, H, W) uint8 of one sampler, their features (N, d), labels and predictions."""

    sampler: Mapping[str, object]
    images: npt.NDArray[np.uint8]
    features: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]


@torch.inference_mode()
def draw_samples(
    card: ModelCard,
    extractor: Extractor,
    sampler: Mapping[str, object],
    *,
    count: int,
    slots: int = 1,
) -> SampleSet:
    """Draw `count` images with the sampler's `solver`, `grid` and `nfe`.

    Batches are drawn in `slots` threads, each by itself: the images do not depend on their number.
    """
    solver, process = str(sampler["solver"]), card.make_process()
    steps = SOLVERS.get(solver).steps_of_nfe(int(str(sampler["nfe"])))
    program = trace(grid(str(sampler["grid"]), process, steps), process=process, solver=solver)
    bank = NoiseBank(card.image_shape, card.num_classes, Bank("report"))
    labels, network = balanced_labels(card, count), load_network(card)

    @torch.inference_mode()
    def batch(start: int) -> Tensor:
        rows = slice(start, min(start + _BATCH, count))
        denoiser = model_denoiser(card, labels=labels[rows], network=network)
        noise = torch.from_numpy(bank.noise(rows.start, rows.stop))
        return to_uint8(run(program, denoiser, noise))

    with ThreadPoolExecutor(slots, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        images = torch.cat(list(pool.map(batch, range(0, count, _BATCH))))
    features = torch.cat([extractor.features(part) for part in images.split(_BATCH)])
    predicted = torch.cat([extractor.logits(part) for part in images.split(_BATCH)]).argmax(1)
    return SampleSet(sampler, images.numpy(), features.numpy(), labels.numpy(), predicted.numpy())


def write_picture(images: npt.NDArray[np.uint8], path: Path, *, columns: int) -> None:
    """The first images as a grid, one class per column when labels are balanced."""
    _, channels, height, width = images.shape
    cell = (height + _GAP, width + _GAP)
    shape = (_ROWS * cell[0] + _GAP, columns * cell[1] + _GAP, channels)
    sheet = np.full(shape, _GAP_GREY, np.uint8)
    for index, image in enumerate(images[: _ROWS * columns]):
        top, left = (_GAP + n * size for n, size in zip(divmod(index, columns), cell, strict=True))
        sheet[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    size = (sheet.shape[1] * _ZOOM, sheet.shape[0] * _ZOOM)
    Image.fromarray(sheet.squeeze()).resize(size, Image.Resampling.NEAREST).save(
        path, optimize=True
    )
