"""The feature cache: what it keeps, what it forgets."""

from __future__ import annotations

import numpy as np

from evaluators.banks import Bank, FloatArray
from evaluators.feature_sheet import FeatureCache

BANK = Bank("search")


def features(num: int) -> FloatArray:
    return np.zeros((num, 4), dtype=np.float32)  # 16 bytes an image


def test_the_longer_prefix_is_kept() -> None:
    cache = FeatureCache(10_000)
    for num in (10, 30, 20):
        cache.put(("a", BANK), features(num))
    kept = cache.get(("a", BANK))
    assert kept is not None
    assert len(kept) == 30


def test_banks_of_one_candidate_are_kept_apart() -> None:
    cache = FeatureCache(10_000)
    cache.put(("a", BANK), features(10))
    assert cache.get(("a", Bank("search", 1))) is None


def test_the_least_recently_used_goes_first_when_bytes_run_out() -> None:
    cache = FeatureCache(16 * 25)
    cache.put(("a", BANK), features(10))
    cache.put(("b", BANK), features(10))
    assert cache.get(("a", BANK)) is not None
    cache.put(("c", BANK), features(10))
    assert cache.get(("b", BANK)) is None
    assert cache.get(("a", BANK)) is not None
    assert cache.get(("c", BANK)) is not None


def test_growing_an_entry_counts_its_bytes_once() -> None:
    cache = FeatureCache(16 * 25)
    for num in (5, 10, 15):
        cache.put(("a", BANK), features(num))
    cache.put(("b", BANK), features(10))
    assert cache.get(("a", BANK)) is not None
    assert cache.get(("b", BANK)) is not None


def test_what_is_larger_than_the_cache_is_not_kept() -> None:
    cache = FeatureCache(16 * 5)
    cache.put(("a", BANK), features(10))
    assert cache.get(("a", BANK)) is None
    cache.put(("b", BANK), features(5))
    assert cache.get(("b", BANK)) is not None
