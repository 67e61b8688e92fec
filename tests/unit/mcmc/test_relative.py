"""Levels: the classes chains move on, and schedules that start from a chain's own level."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewstep.errors import InvalidInput
from fewstep.mcmc import (
    RelativeTimes,
    class_grid,
    geometric_levels,
    karras_levels,
    relative_times,
    time_class_grid,
)
from fewstep.mcmc.relative import euler_maruyama_levels
from fewstep.process import EDM, VE, FlowMatching, Process, VPDiscrete, VPLinear

PROCESSES: tuple[Process, ...] = (VPLinear(), VPDiscrete.linear(), VE(), EDM(), FlowMatching())


def test_the_published_class_grid_runs_from_sigma_max_to_just_above_sigma_min() -> None:
    grid = np.array(class_grid(0.01, 50.0, 1000))
    t = 1.0 + (0.001 - 1.0) * np.arange(1000) / 999
    np.testing.assert_allclose(grid, 0.01 * 5000.0**t, rtol=1e-13)
    assert grid[0] == pytest.approx(50.0, rel=1e-14)
    assert grid[-1] / 0.01 == pytest.approx(5000.0**0.001, rel=1e-12)


def test_classes_of_a_variance_preserving_process_are_even_in_time() -> None:
    process = VPLinear()
    times = [process.at_rho(rho).t for rho in time_class_grid(process, 5)]
    np.testing.assert_allclose(times, np.linspace(1.0, 1e-3, 5), rtol=1e-12)


@pytest.mark.parametrize("arguments", [(0.0, 1.0, 5), (2.0, 1.0, 5), (0.1, 1.0, 1)])
def test_class_grids_without_a_range_are_refused(arguments: tuple[float, float, int]) -> None:
    with pytest.raises(InvalidInput, match="allowed"):
        class_grid(*arguments)


@pytest.mark.parametrize("rho_0", [0.3, 1.7, 50.0])
def test_karras_levels_are_the_formula(rho_0: float) -> None:
    n = 12
    top, bottom = rho_0 ** (1 / 7), 0.01 ** (1 / 7)
    expected = [(top + i / (n - 2) * (bottom - top)) ** 7 for i in range(n - 1)]
    np.testing.assert_allclose(karras_levels(n, 0.01).rhos(rho_0), expected, rtol=1e-12)


@pytest.mark.parametrize("rho_0", [0.3, 1.7, 50.0])
def test_geometric_levels_have_equal_ratios(rho_0: float) -> None:
    rhos = geometric_levels(9, 0.01).rhos(rho_0)
    np.testing.assert_allclose(rhos, np.geomspace(rho_0, 0.01, 9), rtol=1e-12)


def test_euler_maruyama_levels_stop_at_time_1e_5() -> None:
    rhos = euler_maruyama_levels(9, 0.01).rhos(2.0)
    np.testing.assert_allclose(rhos, 0.01 * 200.0 ** np.linspace(1, 1e-5, 9), rtol=1e-12)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: process.family)
@pytest.mark.parametrize("exponent", [7.0, 1.0, None])
def test_a_schedule_rebased_to_its_own_start_is_itself(
    process: Process, exponent: float | None
) -> None:
    times = [process.t_max * share for share in (0.9, 0.7, 0.5, 0.2, 0.05, 0.0)]
    relative = relative_times(times, process, exponent=exponent)
    again = relative.rebased(process.at(times[0]).rho, process)
    np.testing.assert_allclose(again, times, rtol=1e-11)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: process.family)
@given(data=st.data())
def test_every_chain_gets_a_strictly_decreasing_schedule_within_the_process(
    process: Process, data: st.DataObject
) -> None:
    least, most = process.at(process.t_min).rho, process.at(process.t_max).rho
    rho_0 = data.draw(st.floats(least, most))
    rho_min = data.draw(st.floats(least, most))
    count = data.draw(st.integers(2, 60))
    times = geometric_levels(count, rho_min).rebased(rho_0, process)
    assert len(times) == count + 1
    assert times[-1] == 0.0
    assert all(b < a for a, b in pairwise(times)), times
    assert times[0] <= process.t_max
    assert process.at(times[0]).rho == pytest.approx(max(rho_0, 1.005 * least), rel=1e-9)


@pytest.mark.parametrize("rho_0", [0.1, 0.05])
def test_a_chain_at_or_below_the_last_level_gets_a_short_schedule(rho_0: float) -> None:
    process = EDM()
    times = karras_levels(6, 0.1).rebased(rho_0, process)
    assert times[0] == pytest.approx(rho_0)
    assert times[-2] == pytest.approx(rho_0 / 1.005)


def test_one_level_is_a_schedule_of_one_call() -> None:
    process = VPLinear()
    relative = relative_times([0.5, 0.0], process)
    assert relative.shares == (0.0,)
    assert relative.rebased(process.at(0.2).rho, process) == pytest.approx((0.2, 0.0))


def test_relative_times_survive_json() -> None:
    for relative in (karras_levels(6, 0.1), geometric_levels(4, 0.2)):
        assert RelativeTimes.from_dict(json.loads(json.dumps(relative.to_dict()))) == relative


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"shares": [0.0, 0.5, 0.5]}, "shares"),
        ({"shares": [0.1, 1.0]}, "shares"),
        ({"shares": [0.0, 1.1]}, "shares"),
        ({"shares": []}, "shares"),
        ({"shares": ["0"]}, "no number"),
        ({"rho_min": 0.0}, "rho_min"),
        ({"exponent": 0.5}, "exponent"),
        ({"ends_clean": 1}, "ends_clean"),
        ({"shares": [0.0], "ends_clean": False}, "ends clean"),
    ],
)
def test_what_is_no_relative_schedule_is_refused(changed: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        RelativeTimes.from_dict(karras_levels(6, 0.1).to_dict() | changed)
