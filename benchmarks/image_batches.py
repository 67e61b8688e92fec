"""Images of programs in fixed batches on all cores, and what is measured on them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
import torch

from evaluators.banks import Bank
from evaluators.features import to_uint8
from evaluators.fidelity import inception_score
from evaluators.frechet import Gaussian, frechet_distance
from evaluators.packing import Segment, Tile, pack
from evaluators.score import Task
from evaluators.tasks import process_of, reference_of
from evaluators.tile_runner import TileRunner, load_runner
from fewstep.process import Process
from fewstep.program import Program

Array = npt.NDArray[np.float32]

NUM_GROUPS = 16  # of the jackknife


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What was measured on the images of one program.

    Attributes:
        fid: Frechet distance to the reference.
        fid_error: Its standard error, by the delete-a-group jackknife over the images.
        inception_score: On the extractor's class predictions, one split.
        seconds: Wall time, all cores.
    """

    fid: float
    fid_error: float
    inception_score: float
    seconds: float


class ImageBatches:
    """A loaded model whose images are made in `slots` threads. Close it to stop them."""

    def __init__(self, task: Task, *, slots: int) -> None:
        self.task = task
        self.process: Process = process_of(task)
        self._runner: TileRunner = load_runner(task)
        self._reference: Gaussian = reference_of(task).gaussian
        self._pool = ThreadPoolExecutor(slots, initializer=torch.set_num_threads, initargs=(1,))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def fids(self, programs: Sequence[Program], bank: Bank, num_samples: int) -> list[float]:
        """The Frechet distance of each program on the first images of a bank."""
        layers = self._layers(programs, bank, num_samples)
        return [self._fid(features) for features, _ in layers]

    def quality(self, program: Program, bank: Bank, num_samples: int) -> Quality:
        """Everything that is measured on the first images of a bank."""
        started = time.perf_counter()
        ((features, logits),) = self._layers([program], bank, num_samples)
        seconds = time.perf_counter() - started
        return Quality(
            fid=self._fid(features),
            fid_error=self._jackknife(features),
            inception_score=inception_score(logits, num_splits=1).mean,
            seconds=seconds,
        )

    def _layers(
        self, programs: Sequence[Program], bank: Bank, num_samples: int
    ) -> list[tuple[Array, Array]]:
        """Features and logits of each program's images."""
        segments = [Segment(program, bank, 0, num_samples) for program in programs]
        tiles = pack(segments, self.task.numerics.micro_batch)
        parts: list[list[tuple[Array, Array]]] = [[] for _ in programs]
        for tile, (features, logits) in zip(tiles, self._pool.map(self._run, tiles), strict=True):
            row = 0
            for part in tile.parts:
                stop = row + part.segment.rows
                parts[part.work].append((features[row:stop], logits[row:stop]))
                row = stop
        return [
            (np.concatenate([f for f, _ in part]), np.concatenate([g for _, g in part]))
            for part in parts
        ]

    def _run(self, tile: Tile) -> tuple[Array, Array]:
        with torch.inference_mode():
            images = to_uint8(self._runner.images(tile)[: tile.rows].nan_to_num())
            extractor = self._runner.extractor
            return (
                extractor.features(images).float().numpy(),
                extractor.logits(images).float().numpy(),
            )

    def _fid(self, features: Array) -> float:
        return frechet_distance(features, self._reference)

    def _jackknife(self, features: Array) -> float:
        """Standard error of the distance when each group of images in turn is left out.

        Labels repeat in order, so groups of whole rounds hold every class equally often.
        """
        number = np.arange(len(features)) // (self.task.num_classes or 1) % NUM_GROUPS
        left_out = np.array([self._fid(features[number != g]) for g in range(NUM_GROUPS)])
        spread = np.square(left_out - left_out.mean()).sum()
        return float(np.sqrt((NUM_GROUPS - 1) / NUM_GROUPS * spread))
