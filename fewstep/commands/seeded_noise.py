"""Noise of a seed: each image has streams of its own, so it does not depend on its neighbours."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import torch
from torch import Tensor


class Stream(IntEnum):
    """What numbers are for."""

    START = 0  # start states
    SOLVER = 1  # terms of stochastic solvers
    KNOWN = 2  # noise of what is known, where it is put in
    CHAINS = 3  # of denoising MCMC, all chains together


def generator(seed: int, stream: Stream, image: int = 0) -> np.random.Generator:
    """Random numbers by counter. Ref: Salmon et al. 2011 (Philox)."""
    return np.random.Generator(np.random.Philox(key=[seed, int(stream) << 32 | image]))


def image_noise(
    seed: int, stream: Stream, images: range, shape: tuple[int, ...], *, terms: int = 1
) -> Tensor:
    """Unit normal terms (terms, images, ...), float32; more terms or images only add."""
    rows = [generator(seed, stream, i).standard_normal((terms, *shape)) for i in images]
    return torch.from_numpy(np.stack(rows, axis=1)).float()
