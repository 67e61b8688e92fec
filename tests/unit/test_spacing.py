"""Named grids: the published formulas, and none that is no grid."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from fewstep.errors import InvalidInput, UnknownName
from fewstep.process import VPDiscrete
from fewstep.spacing import SPACINGS, _beta_quantile, grid, named_grids

PROCESS = VPDiscrete.linear()


def _indices(name: str, steps: int) -> list[int]:
    return [PROCESS.index_of(t) for t in grid(name, PROCESS, steps)[:-1]]


@pytest.mark.parametrize(
    ("name", "steps", "expected"),
    [
        ("leading", 4, [750, 500, 250, 0]),
        ("trailing", 4, [999, 749, 499, 249]),
        ("linspace", 4, [999, 666, 333, 0]),
        ("simple", 4, [999, 749, 499, 249]),
        ("leading", 6, [830, 664, 498, 332, 166, 0]),
    ],
)
def test_discrete_spacings_are_those_of_the_tools(
    name: str, steps: int, expected: list[int]
) -> None:
    assert _indices(name, steps) == expected


def test_karras_points_follow_the_published_formula() -> None:
    top, bottom = PROCESS.at(1.0).rho, PROCESS.at(0.001).rho
    u = np.linspace(0, 1, 6)
    ratios = (top ** (1 / 7) + u * (bottom ** (1 / 7) - top ** (1 / 7))) ** 7
    found = [PROCESS.at(t).lam for t in grid("karras-7", PROCESS, 6)[:-1]]
    neighbours = [abs(PROCESS.at(i / 1000).lam - PROCESS.at((i + 1) / 1000).lam) for i in (1, 10)]
    np.testing.assert_allclose(found, -np.log(ratios), atol=max(neighbours))


def test_beta_quantiles_match_an_independent_implementation() -> None:
    probabilities = np.linspace(0.001, 0.999, 101)
    np.testing.assert_allclose(
        _beta_quantile(probabilities), beta.ppf(probabilities, 0.6, 0.6), atol=2e-6
    )


@given(st.integers(min_value=1, max_value=60))
def test_every_named_grid_is_a_grid(steps: int) -> None:
    for name, times in named_grids(PROCESS, steps).items():
        assert len(times) == steps + 1, name
        assert times[-1] == 0.0, name
        assert all(a > b for a, b in pairwise(times)), name
        assert all(0 <= PROCESS.index_of(t) <= 999 for t in times[:-1]), name


def test_a_grid_whose_points_fall_together_is_refused_and_left_out() -> None:
    name = "polyexponential-2"
    with pytest.raises(InvalidInput, match="fall together"):
        grid(name, PROCESS, 400)
    assert name not in named_grids(PROCESS, 400)
    assert "leading" in named_grids(PROCESS, 400)


def test_an_unknown_spacing_lists_those_there_are() -> None:
    with pytest.raises(UnknownName, match="trailing"):
        grid("golden", PROCESS, 4)


@pytest.mark.parametrize("steps", [0, 1001])
def test_impossible_counts_are_refused(steps: int) -> None:
    with pytest.raises(InvalidInput, match=f"steps={steps}"):
        grid("leading", PROCESS, steps)


def test_four_steps_exist_for_every_spacing() -> None:
    assert set(named_grids(PROCESS, 4)) == set(SPACINGS.names())
