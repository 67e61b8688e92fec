"""Grids: the published formulas on every process, and none that is no grid."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from fewstep.errors import InvalidInput, UnknownName
from fewstep.process import EDM, FlowMatching, Process, VPDiscrete, VPLinear
from fewstep.spacing import (
    SPACINGS,
    arctan_grid,
    beta_grid,
    grid,
    karras_grid,
    named_grids,
    nsr_grid,
    power_grid,
)
from fewstep.spacing.curves import beta_quantile
from tests.processes import CONTINUOUS, PROCESSES, label

PROCESS = VPDiscrete.linear()
ON_TABLES = {"leading", "linspace", "simple", "trailing"}

every_continuous = pytest.mark.parametrize("process", CONTINUOUS, ids=label)


def _indices(name: str, steps: int) -> list[int]:
    return [PROCESS.index_of(t) for t in grid(name, PROCESS, steps)[:-1]]


def _rhos(process: Process, times: tuple[float, ...]) -> list[float]:
    """Noise ratios of the points to evaluate."""
    return [process.at(t).rho for t in times[:-1]]


def _ends(process: Process) -> tuple[float, float]:
    return process.at(process.t_max).rho, process.at(process.t_min).rho


# Found by the first version of these grids: searches and stored results rest on them.
FOUR_STEPS_OF_DDPM = {
    "arctan-0.5": [999, 233, 87, 0],
    "arctan-0.5-to-clean": [999, 296, 146, 62],
    "arctan-0.7": [999, 296, 120, 0],
    "arctan-0.7-to-clean": [999, 362, 196, 87],
    "arctan-1.0": [999, 367, 166, 0],
    "arctan-1.0-to-clean": [999, 432, 259, 123],
    "beta-0.6": [999, 724, 275, 0],
    "beta-0.6-to-clean": [999, 823, 500, 176],
    "karras-7": [999, 775, 301, 0],
    "karras-7-to-clean": [999, 843, 593, 142],
    "leading": [750, 500, 250, 0],
    "linspace": [999, 666, 333, 0],
    "log-snr": [999, 603, 73, 0],
    "log-snr-to-clean": [999, 722, 302, 30],
    "polyexponential-2": [999, 202, 5, 0],
    "polyexponential-2-to-clean": [999, 423, 30, 2],
    "quadratic-t": [999, 458, 125, 0],
    "quadratic-t-to-clean": [999, 573, 265, 74],
    "simple": [999, 749, 499, 249],
    "trailing": [999, 749, 499, 249],
    "uniform-t": [999, 666, 333, 0],
    "uniform-t-to-clean": [999, 749, 499, 250],
}


@pytest.mark.parametrize(("name", "expected"), FOUR_STEPS_OF_DDPM.items())
def test_the_grids_that_stored_results_rest_on_stay(name: str, expected: list[int]) -> None:
    assert _indices(name, 4) == expected


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


@every_continuous
def test_spacings_of_indices_need_a_table(process: Process) -> None:
    for name in sorted(ON_TABLES):
        with pytest.raises(InvalidInput, match="needs a table"):
            grid(name, process, 4)
    assert set(named_grids(process, 4)) == set(SPACINGS.names()) - ON_TABLES


def test_karras_points_are_rounded_to_the_nearest_nodes() -> None:
    top, bottom = PROCESS.at(1.0).rho, PROCESS.at(0.001).rho
    u = np.linspace(0, 1, 6)
    ratios = (top ** (1 / 7) + u * (bottom ** (1 / 7) - top ** (1 / 7))) ** 7
    found = [PROCESS.at(t).lam for t in grid("karras-7", PROCESS, 6)[:-1]]
    neighbours = [abs(PROCESS.at(i / 1000).lam - PROCESS.at((i + 1) / 1000).lam) for i in (1, 10)]
    np.testing.assert_allclose(found, -np.log(ratios), atol=max(neighbours))


# (noisy end, clean end, u) -> noise ratio, point by point in plain arithmetic.
RATIOS: dict[str, Callable[[float, float, float], float]] = {
    "log-snr": lambda top, bottom, u: top ** (1 - u) * bottom**u,
    "karras-7": lambda top, bottom, u: (
        (1 - u) * top ** (1 / 7) + u * bottom ** (1 / 7)
    ) ** 7,
    "nsr-3.1": lambda top, bottom, u: (
        (top + 3.1 * bottom) ** (1 - u) * (4.1 * bottom) ** u - 3.1 * bottom
    ),
    "polyexponential-2": lambda top, bottom, u: bottom * (top / bottom) ** ((1 - u) ** 2),
    "arctan-0.5": lambda top, bottom, u: 0.5 * math.tan(
        (1 - u) * math.atan(top / 0.5) + u * math.atan(bottom / 0.5)
    ),
    "cosine-lam": lambda top, bottom, u: math.tan(
        math.pi / 2 * (2 / math.pi) * ((1 - u) * math.atan(top) + u * math.atan(bottom))
    ),
}  # fmt: skip


@every_continuous
@pytest.mark.parametrize("name", RATIOS)
def test_curves_in_the_noise_ratio_follow_their_formulas(process: Process, name: str) -> None:
    top, bottom = _ends(process)
    for suffix, count in (("", 6), ("-to-clean", 7)):
        found = _rhos(process, grid(name + suffix, process, 6))
        expected = [RATIOS[name](top, bottom, i / (count - 1)) for i in range(6)]
        np.testing.assert_allclose(found, expected, rtol=1e-9)


TIMES: dict[str, Callable[[float, float, float], float]] = {
    "uniform-t": lambda top, bottom, u: top - u * (top - bottom),
    "quadratic-t": lambda top, bottom, u: (math.sqrt(top) * (1 - u) + math.sqrt(bottom) * u) ** 2,
    "cubic-t": lambda top, bottom, u: (math.cbrt(top) * (1 - u) + math.cbrt(bottom) * u) ** 3,
    "beta-0.6": lambda top, bottom, u: bottom + (top - bottom) * beta.ppf(1 - u, 0.6, 0.6),
}


@every_continuous
@pytest.mark.parametrize("name", TIMES)
def test_curves_in_time_follow_their_formulas(process: Process, name: str) -> None:
    for suffix, count in (("", 6), ("-to-clean", 7)):
        found = grid(name + suffix, process, 6)[:-1]
        expected = [TIMES[name](process.t_max, process.t_min, i / (count - 1)) for i in range(6)]
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=2e-6 * process.t_max)


@every_continuous
def test_the_nsr_grid_has_log_snr_and_uniform_as_its_limits(process: Process) -> None:
    assert nsr_grid(process, 8, 0.0) == pytest.approx(grid("log-snr", process, 8), rel=1e-12)
    almost = _rhos(process, nsr_grid(process, 8, 1e-9))
    np.testing.assert_allclose(almost, _rhos(process, grid("log-snr", process, 8)), rtol=1e-6)
    top, bottom = _ends(process)
    found = _rhos(process, nsr_grid(process, 8, 1e12))
    # Off by about (top / bottom) / k of the range.
    np.testing.assert_allclose(found, np.linspace(top, bottom, 8), atol=1e-5 * top)


@pytest.mark.parametrize("process", PROCESSES, ids=label)
def test_grids_by_parameter_are_the_named_ones(process: Process) -> None:
    for to_clean in (False, True):
        suffix = "-to-clean" if to_clean else ""
        pairs = {
            "uniform-t": power_grid(process, 7, 1.0, to_clean=to_clean),
            "quadratic-t": power_grid(process, 7, 2.0, to_clean=to_clean),
            "cubic-t": power_grid(process, 7, 3.0, to_clean=to_clean),
            "karras-7": karras_grid(process, 7, to_clean=to_clean),
            "nsr-3.1": nsr_grid(process, 7, to_clean=to_clean),
            "arctan-0.7": arctan_grid(process, 7, 0.7, to_clean=to_clean),
            "beta-0.6": beta_grid(process, 7, to_clean=to_clean),
        }
        for name, times in pairs.items():
            assert times == grid(name + suffix, process, 7), name + suffix


def test_cosine_lam_is_the_arctan_grid_of_width_one() -> None:
    assert grid("cosine-lam", VPLinear(), 9) == grid("arctan-1.0", VPLinear(), 9)


def test_a_wide_arctan_grid_is_uniform_in_rho_and_a_flow_grid_is_shifted() -> None:
    found = _rhos(EDM(), arctan_grid(EDM(), 5, 1e6))
    np.testing.assert_allclose(found, np.linspace(80.0, 0.002, 5), rtol=1e-6)
    plain, shifted = (grid("uniform-t", FlowMatching(shift), 5) for shift in (1.0, 3.0))
    assert plain == shifted  # in process time; the shift is in the levels
    assert FlowMatching(3.0).at(plain[2]).sigma > FlowMatching(1.0).at(plain[2]).sigma


@pytest.mark.parametrize(("a", "b"), [(0.6, 0.6), (0.5, 2.0), (1.0, 1.0), (4.0, 0.7), (10.0, 10.0)])
def test_beta_quantiles_match_an_independent_implementation(a: float, b: float) -> None:
    probabilities = np.linspace(0.001, 0.999, 101)
    np.testing.assert_allclose(
        beta_quantile(probabilities, a, b), beta.ppf(probabilities, a, b), atol=2e-6
    )


@pytest.mark.parametrize("process", PROCESSES, ids=label)
@given(steps=st.integers(min_value=1, max_value=60))
def test_every_named_grid_is_a_grid(process: Process, steps: int) -> None:
    for name, times in named_grids(process, steps).items():
        assert len(times) == steps + 1, name
        assert times[-1] == 0.0, name
        assert all(a > b for a, b in pairwise(times)), name
        assert all(process.t_min <= t <= process.t_max for t in times[:-1]), name
        if isinstance(process, VPDiscrete):
            assert all(0 <= process.index_of(t) <= 999 for t in times[:-1]), name


@every_continuous
@pytest.mark.parametrize("steps", [1, 2, 17])
def test_ends_are_exact(process: Process, steps: int) -> None:
    for name, times in named_grids(process, steps).items():
        assert times[0] == process.t_max, name
        if steps > 1 and not name.endswith("-to-clean"):
            assert times[-2] == process.t_min, name


def test_a_grid_whose_points_fall_together_is_refused_and_left_out() -> None:
    name = "polyexponential-2"
    with pytest.raises(InvalidInput, match=r"fall together: \[999, "):
        grid(name, PROCESS, 400)
    assert name not in named_grids(PROCESS, 400)
    assert "leading" in named_grids(PROCESS, 400)


def test_an_unknown_spacing_lists_those_there_are() -> None:
    with pytest.raises(UnknownName, match="trailing"):
        grid("golden", PROCESS, 4)


@pytest.mark.parametrize("steps", [0, 1001])
def test_impossible_counts_are_refused(steps: int) -> None:
    with pytest.raises(InvalidInput, match=f"steps={steps}: allowed: 1 to 1000"):
        grid("leading", PROCESS, steps)


def test_a_continuous_process_refuses_no_steps_alone() -> None:
    with pytest.raises(InvalidInput, match="steps=0: allowed: 1 and more"):
        nsr_grid(VPLinear(), 0)
    assert len(nsr_grid(VPLinear(), 5000)) == 5001


@pytest.mark.parametrize(
    ("build", "field"),
    [
        (lambda: nsr_grid(PROCESS, 4, -0.1), "k"),
        (lambda: nsr_grid(PROCESS, 4, math.nan), "k"),
        (lambda: power_grid(PROCESS, 4, 0.0), "exponent"),
        (lambda: karras_grid(PROCESS, 4, -7.0), "exponent"),
        (lambda: arctan_grid(PROCESS, 4, 0.0), "width"),
        (lambda: beta_grid(PROCESS, 4, 0.4), "a"),
        (lambda: beta_grid(PROCESS, 4, 0.6, math.inf), "b"),
        (lambda: power_grid(PROCESS, 900, 5.0), "spacing"),
    ],
)
def test_parameters_outside_are_named(build: Callable[[], object], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        build()
    assert caught.value.field == field


def test_four_steps_exist_for_every_spacing() -> None:
    assert set(named_grids(PROCESS, 4)) == set(SPACINGS.names())
