"""Stored randomness: the noise and class labels every candidate is scored on.

Nothing is kept on disk. Noise is a function of (bank, set, image shape, image number) through a
counter-based generator: any process can draw any range of images and gets the same bits, and more
images only add to what was there (common random numbers with the prefix property).
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from fewstep.canonical import canonical_json
from fewstep.errors import InvalidInput

BankName: TypeAlias = Literal["search", "selection", "report", "calibration"]
LabelRule: TypeAlias = Literal["balanced", "random"]
FloatArray: TypeAlias = npt.NDArray[np.float32]
IntArray: TypeAlias = npt.NDArray[np.int64]

BANK_NAMES: tuple[str, ...] = get_args(BankName)
_LABEL_RULES: tuple[str, ...] = get_args(LabelRule)
_WORDS_PER_COUNTER = 4  # Philox4x64 turns one counter value into four 64-bit words
_IDENTITY_IMAGES = 16  # how many images' noise the identity is a checksum of


@dataclass(frozen=True, slots=True)
class Bank:
    """Which stored randomness: search on the first bank, select on the second, report on the third.

    What is cut is measured and repaired on the fourth.

    Attributes:
        name: The purpose; banks of different names share no noise.
        set_index: Number of the set within the bank, from 0; sets share no noise either.
        labels: `balanced` (image i has class i mod num_classes) or `random` (drawn by counter). The
            imbalance of random labels is most of a small-sample score's variance, so only what
            reproduces others' protocols asks for it.
    """

    name: BankName
    set_index: int = 0
    labels: LabelRule = "balanced"

    def __post_init__(self) -> None:
        if self.name not in BANK_NAMES:
            raise InvalidInput(
                f"bank={self.name!r}: unknown; allowed: {', '.join(BANK_NAMES)}", field="bank"
            )
        if self.labels not in _LABEL_RULES:
            raise InvalidInput(
                f"labels={self.labels!r}: unknown; allowed: {', '.join(_LABEL_RULES)}",
                field="labels",
            )
        if isinstance(self.set_index, bool) or not 0 <= self.set_index < 2**31:
            raise InvalidInput(
                f"set_index={self.set_index!r}: must be between 0 and {2**31 - 1}",
                field="set_index",
            )

    def canonical(self) -> dict[str, object]:
        """Plain JSON values that name the bank."""
        return {"name": self.name, "set_index": self.set_index, "labels": self.labels}


@dataclass(frozen=True, slots=True)
class NoiseBank:
    """The noise and labels of one bank for one image shape (C, H, W)."""

    image_shape: tuple[int, int, int]
    num_classes: int | None
    bank: Bank

    def noise(self, start: int, stop: int, *, term: int | None = None) -> FloatArray:
        """Unit normals of images start..stop-1, shape (stop - start, C, H, W).

        Without `term` the start noise; with it, the noise a stochastic solver adds, by its number.
        """
        return self.normals("noise" if term is None else f"term {term}", start, stop)

    def normals(self, purpose: str, start: int, stop: int) -> FloatArray:
        """Unit normals of images start..stop-1 for one purpose; purposes share none."""
        size = math.prod(self.image_shape)
        counters = -(-size // _WORDS_PER_COUNTER)  # per image, so image i is the same in any range
        words = self._words(purpose, start, stop, counters)
        normal: FloatArray = ndtri(_uniform(words[:, :size])).astype(np.float32)
        return normal.reshape(stop - start, *self.image_shape)

    def uniforms(self, purpose: str, start: int, stop: int) -> npt.NDArray[np.float64]:
        """A number in (0, 1) for each of images start..stop-1, for one purpose."""
        return _uniform(self._words(purpose, start, stop, 1)[:, 0])

    def labels(self, start: int, stop: int) -> IntArray | None:
        """Class labels of images start..stop-1; None where the model has no classes."""
        if self.num_classes is None:
            return None
        if self.bank.labels == "balanced":
            return np.arange(start, stop, dtype=np.int64) % self.num_classes
        words = self._words("labels", start, stop, 1)
        return np.floor(_uniform(words[:, 0]) * self.num_classes).astype(np.int64)

    def identity(self) -> dict[str, object]:
        """Plain JSON values that change whenever the noise or the labels would.

        It holds a checksum of the first images' noise, so a generator that changes with its library
        is noticed too.
        """
        return {
            **self.bank.canonical(),
            "image_shape": list(self.image_shape),
            "num_classes": self.num_classes,
            "sha256": _checksum(self),
        }

    def _words(self, purpose: str, start: int, stop: int, counters: int) -> npt.NDArray[np.uint64]:
        """The raw 64-bit words of a range of images, one row per image."""
        if not 0 <= start <= stop:
            raise InvalidInput(f"range [{start}, {stop}): must satisfy 0 <= start <= stop")
        generator = np.random.Philox(key=self._key(purpose), counter=start * counters)
        words = generator.random_raw((stop - start) * counters * _WORDS_PER_COUNTER)
        return words.reshape(stop - start, counters * _WORDS_PER_COUNTER)

    def _key(self, purpose: str) -> int:
        """The 128-bit Philox key: different keys are unrelated streams, which disjoint banks are.

        Labels do not enter the noise's key, so that both label rules are compared on equal noise.
        """
        name = [purpose, self.bank.name, self.bank.set_index, list(self.image_shape)]
        digest = hashlib.sha256(canonical_json(["fewstep noise bank", *name]).encode()).digest()
        return int.from_bytes(digest[:16], "little")


def _uniform(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """Uniforms in (0, 1) from 64-bit words: the middles of 2^52 equal cells, so never 0 or 1."""
    return ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


@lru_cache(maxsize=256)
def _checksum(noise_bank: NoiseBank) -> str:
    """SHA-256 of the first images' noise (little-endian float32) and labels."""
    digest = hashlib.sha256(noise_bank.noise(0, _IDENTITY_IMAGES).astype("<f4").tobytes())
    labels = noise_bank.labels(0, _IDENTITY_IMAGES)
    digest.update(b"" if labels is None else labels.astype("<i8").tobytes())
    return digest.hexdigest()
