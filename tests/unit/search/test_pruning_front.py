"""Fronts of FID and cost, and the predictor that says who would add to one."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.pruning_front import (
    best_of_tiers,
    non_dominated,
    pick_for_front,
    spread_over_cost,
)
from search.pruning_predictor import ErrorModel, Features

points = st.lists(
    st.tuples(st.integers(0, 9).map(float), st.integers(0, 9).map(lambda n: n / 10)), max_size=12
)


@given(points)
def test_a_front_is_what_no_other_point_beats(known: list[tuple[float, float]]) -> None:
    front = [known[i] for i in non_dominated(known)]
    for point in known:
        beaten = any(p != point and p[0] <= point[0] and p[1] <= point[1] for p in known)
        assert beaten == (point not in front), (point, front)
    assert len(set(front)) == len(front)
    assert all(a[0] < b[0] and a[1] > b[1] for a, b in pairwise(front))


def test_few_of_a_front_are_its_ends_and_what_lies_between() -> None:
    front = [(1.0, 1.0), (1.1, 0.98), (1.2, 0.96), (1.5, 0.8), (2.0, 0.6)]
    assert spread_over_cost(front, 1) == [0]
    assert spread_over_cost(front, 2) == [0, 4]
    assert spread_over_cost(front, 3) == [0, 3, 4]
    assert spread_over_cost(front, 9) == [0, 1, 2, 3, 4]
    assert spread_over_cost([], 3) == []


def test_the_best_of_each_tier_is_kept_though_a_cheaper_one_is_better_by_a_hair() -> None:
    known = [(0.352, 0.91), (0.36, 0.95), (0.351, 0.85), (0.5, 0.76), (0.321, 1.0), (0.6, 0.75)]
    assert non_dominated(known) == [4, 2, 3, 5], "the first is beaten"
    assert best_of_tiers(known, 5, least=0.75) == [4, 2, 0, 3], "by FID; one tier has none"
    assert best_of_tiers(known, 1, least=0.75) == [4]
    assert best_of_tiers([], 5, least=0.75) == []


def test_children_are_picked_for_what_they_add_one_after_the_other() -> None:
    front = [(0.0, 1.0), (1.0, 0.6)]
    children = [(0.5, 0.8), (0.51, 0.8), (0.9, 0.7), (0.3, 0.99), (2.0, 0.9)]
    picked = pick_for_front(children, front, 5)
    assert picked[:3] == [0, 2, 3], "the second is no use once the first is there"
    assert picked[-1] == 4, "nothing is added by what is beaten by far"
    assert pick_for_front(children, front, 2) == picked[:2]


def truth(features: Features) -> float:
    """A FID whose first block errs four times as much as the survey says."""
    (errors,) = features.errors
    return math.exp(math.log1p(sum(errors) + 3 * errors[0]) + 0.5 * features.rung)


def drawn(rng: np.random.Generator, rung: int = 0) -> Features:
    return Features(rung, 0, (tuple((0.5 * rng.random(4) * (rng.random(4) < 0.5)).tolist()),))


def test_without_scores_of_cuts_a_larger_error_is_predicted_worse() -> None:
    model = ErrorModel([Features(0, 0, ((0.0,) * 4,))], [1.5], bases=1)
    values = model.predict([Features(0, 0, ((error, 0.0, 0.0, 0.0),)) for error in (0.0, 0.1, 0.2)])
    assert values[0] == pytest.approx(math.log(1.5), abs=1e-3)
    assert values == sorted(values)
    assert values[0] < values[1] < values[2]


def test_scores_teach_which_block_the_survey_underrates() -> None:
    rng = np.random.default_rng(0)
    known = [drawn(rng, rung=i % 2) for i in range(60)]
    model = ErrorModel(known, [truth(features) for features in known], bases=1)
    first, last = (0.3, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.3)
    underrated, other = model.predict([Features(1, 0, (first,)), Features(1, 0, (last,))])
    assert underrated > other + 0.2
    fresh = [drawn(rng, rung=1) for _ in range(200)]
    predicted, true = model.predict(fresh), [math.log(truth(features)) for features in fresh]
    by_survey = [sum(features.errors[0]) for features in fresh]
    learned, given_ = (np.corrcoef(values, true)[0, 1] for values in (predicted, by_survey))
    assert learned > 0.95 > given_, (learned, given_)


def test_a_worse_schedule_is_told_from_worse_cuts() -> None:
    rng = np.random.default_rng(1)
    cuts = [drawn(rng).errors for _ in range(20)]
    known = [Features(0, i % 2, errors) for i, errors in enumerate(cuts)]
    model = ErrorModel(known, [truth(f) * (1 + 0.3 * f.base) for f in known], bases=2)
    good, bad = model.predict([Features(0, base, ((0.0,) * 4,)) for base in (0, 1)])
    assert bad - good == pytest.approx(math.log(1.3), abs=0.05)


def test_scores_teach_at_which_step_errors_do_no_harm_or_help() -> None:
    rng = np.random.default_rng(2)
    known, fids = [], []
    for _ in range(40):
        errors = rng.random((3, 4)) * (rng.random((3, 1)) < 0.5)
        harm = errors.sum(axis=1) @ [-0.05, 0.0, 0.5]  # the first helps, the second does nothing
        known.append(Features(0, 0, tuple(map(tuple, errors.tolist()))))
        fids.append(math.exp(1.0 + harm))
    model = ErrorModel(known, fids, bases=2)
    helps, nothing, harms = (np.mean(row) for row in model.factors(0))
    assert helps < nothing < 0.3 * harms, model.factors(0)
    assert min(map(min, model.factors(0))) > 0.0
    none = ((0.0,) * 4,)
    cut = tuple((0.25,) * 4 for _ in range(1))
    first, last = Features(0, 0, cut + none * 2), Features(0, 0, none * 2 + cut)
    full = Features(0, 0, none * 3)
    assert model.predict([first]) < model.predict([full]) < model.predict([last])
