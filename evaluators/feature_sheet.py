"""Where features are put together: tiles come in, whole candidates come out."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeAlias

import numpy as np

from evaluators.banks import Bank, FloatArray
from evaluators.chain_tiles import AnyTile
from evaluators.score import Ask

Images: TypeAlias = tuple[str, Bank]
"""Whose images: the key of a candidate, and the bank."""


def images_of(ask: Ask) -> Images:
    """Whose images an ask is about."""
    return ask.candidate.key, ask.bank


class FeatureCache:
    """Features of the last candidates' first images, up to a number of bytes.

    It only saves work: rows do not depend on when or beside what they were computed.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[Images, FloatArray] = OrderedDict()

    def get(self, images: Images) -> FloatArray | None:
        """The features of the first images, as many as there are; None if unknown."""
        if images in self._entries:
            self._entries.move_to_end(images)
        return self._entries.get(images)

    def put(self, images: Images, features: FloatArray) -> None:
        """Keep features, unless more of the same are kept; forget the least recently used."""
        known = self._entries.get(images)
        if known is not None and len(known) >= len(features):
            return
        self._bytes += features.nbytes - (0 if known is None else known.nbytes)
        self._entries[images] = features
        self._entries.move_to_end(images)
        while self._bytes > self._max_bytes:
            self._bytes -= self._entries.popitem(last=False)[1].nbytes


class FeatureSheet:
    """The features of one call's candidates, growing tile by tile from what the cache has."""

    def __init__(self, cache: FeatureCache) -> None:
        self._cache = cache
        self._arrays: dict[Images, list[FloatArray]] = {}
        self._planned: dict[Images, int] = {}
        self._owners: list[Images] = []

    def plan(self, ask: Ask) -> int:
        """Count an ask's images as coming, and say how many of them were before it.

        Where some are missing, the caller computes them as the next segment.
        """
        images = images_of(ask)
        if images not in self._planned:
            cached = self._cache.get(images)
            self._arrays[images] = [] if cached is None else [cached]
            self._planned[images] = 0 if cached is None else len(cached)
        known = self._planned[images]
        if known < ask.num_samples:
            self._owners.append(images)
            self._planned[images] = ask.num_samples
        return known

    def add(self, tile: AnyTile, features: FloatArray) -> None:
        """Take in the features (rows, d) of a tile."""
        start = 0
        for work, rows in tile.shares:
            self._arrays[self._owners[work]].append(features[start : start + rows])
            start += rows

    def is_complete(self, ask: Ask) -> bool:
        """Whether all images of an ask are there."""
        return sum(map(len, self._arrays[images_of(ask)])) >= ask.num_samples

    def features(self, ask: Ask) -> FloatArray:
        """The features (num_samples, d) of a complete ask; they go into the cache."""
        images = images_of(ask)
        joined = np.concatenate(self._arrays[images])
        self._arrays[images] = [joined]
        self._cache.put(images, joined)
        return joined[: ask.num_samples]
