"""The surrogates rank what was not scored by what was."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import kendalltau

from search.surrogate import Corrected, Interpolant
from space.operators import mutate, random_genome
from space.timesteps import Genome
from tests.unit.space.strategies import space_of

SPACE = space_of(1000, 4)
LOW, HIGH = (657, 514, 258, 18), (800, 450, 200, 30)


def bowl(genome: Genome, best: Genome) -> float:
    return 0.1 + sum(
        (SPACE.lams[a] - SPACE.lams[b]) ** 2 for a, b in zip(genome, best, strict=True)
    )


def near(best: Genome, count: int, seed: int) -> list[Genome]:
    rng = np.random.default_rng(seed)
    return list(dict.fromkeys(mutate(best, SPACE, rng, 0.4) for _ in range(count)))


def tau(predicted: list[float], truth: list[float]) -> float:
    return float(kendalltau(predicted, truth).statistic)


def test_it_passes_through_what_it_was_told_below_the_median() -> None:
    known = {genome: bowl(genome, LOW) for genome in near(LOW, 40, 0)}
    ranked = sorted(known, key=lambda genome: known[genome])[:15]
    predicted = Interpolant(SPACE, known).predict(ranked)
    np.testing.assert_allclose(predicted, [math.log(known[genome]) for genome in ranked], atol=1e-2)


def test_it_ranks_new_schedules_near_known_ones() -> None:
    known = {genome: bowl(genome, LOW) for genome in near(LOW, 60, 0)}
    new = [genome for genome in near(LOW, 100, 1) if genome not in known and bowl(genome, LOW) < 1]
    predicted = Interpolant(SPACE, known).predict(new)
    assert tau(predicted, [bowl(genome, LOW) for genome in new]) > 0.8


def test_few_values_at_more_images_move_the_optimum() -> None:
    """Few images favour LOW, more images HIGH; a dozen values are enough to see it."""
    rng = np.random.default_rng(2)
    pool = near(LOW, 60, 0) + near(HIGH, 60, 1) + [random_genome(SPACE, rng) for _ in range(20)]
    below = Interpolant(SPACE, {genome: bowl(genome, LOW) for genome in pool})
    known = {genome: bowl(genome, HIGH) for genome in near(LOW, 8, 3) + near(HIGH, 16, 4)}
    corrected = Corrected(SPACE, below, known)
    low, high = below.predict([LOW, HIGH])
    assert low < high
    low, high = corrected.predict([LOW, HIGH])
    assert low > high


def test_one_known_genome_is_enough() -> None:
    below = Interpolant(SPACE, {LOW: 0.5})
    assert below.predict([LOW]) == [round(math.log(0.5), 9)]
    corrected = Corrected(SPACE, below, {LOW: 0.25})
    np.testing.assert_allclose(corrected.predict([LOW]), [math.log(0.25)], atol=1e-6)


def test_a_fitness_of_zero_is_no_infinity() -> None:
    predicted = Interpolant(SPACE, {LOW: 0.0, HIGH: 1.0}).predict([LOW, HIGH])
    assert all(math.isfinite(value) for value in predicted)
