"""The discrete process: published check values, exact nodes, inverses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewstep.errors import InvalidInput
from fewstep.process import VPDiscrete, process_from_description

LINEAR = VPDiscrete.linear()


@pytest.mark.parametrize(
    ("process", "index", "rho"),
    [
        (VPDiscrete.linear(), 0, 0.01000050),
        (VPDiscrete.linear(), 999, 157.40728),
        (VPDiscrete.scaled_linear(), 0, 0.02916716),
        (VPDiscrete.scaled_linear(), 999, 14.61464123),
        (VPDiscrete.cosine(), 100, 0.171044),
        (VPDiscrete.cosine(), 500, 1.015551),
        (VPDiscrete.cosine(), 900, 6.429930),
    ],
)
def test_tables_give_the_published_noise_ratios(
    process: VPDiscrete, index: int, rho: float
) -> None:
    assert process.at(process.time_of(index)).rho == pytest.approx(rho, rel=3e-6)  # six digits


def test_nodes_are_the_cumulative_products_to_the_last_digits() -> None:
    table = np.cumprod(1.0 - np.linspace(1e-4, 0.02, 1000))
    levels = [LINEAR.at(LINEAR.time_of(k)) for k in range(1000)]
    np.testing.assert_allclose([level.alpha**2 for level in levels], table, rtol=1e-13)
    np.testing.assert_allclose([level.sigma**2 for level in levels], 1.0 - table, rtol=1e-12)


def test_time_zero_is_clean() -> None:
    level = LINEAR.at(0.0)
    assert (level.alpha, level.sigma, level.is_clean) == (1.0, 0.0, True)
    assert math.copysign(1.0, level.sigma) == 1.0


@given(st.floats(min_value=1e-3, max_value=1.0))
def test_rho_and_back_gives_the_same_level(t: float) -> None:
    level = LINEAR.at(t)
    again = LINEAR.at_rho(level.rho)
    assert again.alpha == pytest.approx(level.alpha, rel=1e-12)
    assert again.t == pytest.approx(level.t, rel=1e-9)


@given(st.integers(min_value=0, max_value=999))
def test_indices_round_trip_and_reach_the_network_exactly(index: int) -> None:
    t = LINEAR.time_of(index)
    assert LINEAR.index_of(t) == index
    assert LINEAR.network_time(t) == float(index)


def test_a_level_above_the_table_is_clamped_to_its_noisiest_node() -> None:
    assert LINEAR.at_rho(1e6) == LINEAR.at(1.0)


@pytest.mark.parametrize("t", [-0.1, 1.1, math.nan])
def test_times_outside_are_refused_with_their_value(t: float) -> None:
    with pytest.raises(InvalidInput, match=r"t=.*allowed: 0 to 1"):
        LINEAR.at(t)


@pytest.mark.parametrize("table", [[], [0.5, 0.5], [0.4, 0.6], [1.0, 0.5], [0.9, math.nan]])
def test_tables_that_are_no_decreasing_sequence_are_refused(table: list[float]) -> None:
    with pytest.raises(InvalidInput, match="alphas_cumprod"):
        VPDiscrete(table)


def test_a_time_between_nodes_is_no_index() -> None:
    with pytest.raises(InvalidInput, match="no node"):
        LINEAR.index_of(0.5005)


def test_zero_terminal_snr_stays_finite() -> None:
    level = VPDiscrete([0.9, 0.5, 0.0]).at(1.0)
    assert level.rho == pytest.approx(4096.0, rel=1e-6)


@pytest.mark.parametrize("base", [LINEAR, VPDiscrete.scaled_linear(), VPDiscrete.cosine()])
def test_rescaling_to_zero_snr_follows_the_published_algorithm(base: VPDiscrete) -> None:
    """Lin et al. 2023, algorithm 1, on the square roots of the cumulative products."""
    roots = np.array([base.at(base.time_of(k)).alpha for k in range(1000)])
    first, last = roots[0], roots[-1]
    expected = (roots - last) * first / (first - last)
    rescaled = VPDiscrete.zero_terminal_snr(base)
    found = np.array([rescaled.at(rescaled.time_of(k)).alpha for k in range(1000)])
    above = expected > 2.0**-12
    np.testing.assert_allclose(found[above], expected[above], rtol=1e-11)
    np.testing.assert_allclose(found[~above], expected[~above], atol=2.0**-12 + 1e-4)
    assert found[-1] == pytest.approx(2.0**-12, rel=1e-12)


def test_entries_below_the_floor_stay_distinct_levels() -> None:
    """The rescaled linear table has four of them."""
    rescaled = VPDiscrete.zero_terminal_snr(LINEAR)
    rhos = [rescaled.at(rescaled.time_of(k)).rho for k in range(990, 1000)]
    assert rhos == sorted(set(rhos)), rhos
    assert rhos[-1] == pytest.approx(4096.0, rel=1e-6)


@pytest.mark.parametrize("base", [VPDiscrete([0.5]), VPDiscrete.zero_terminal_snr(LINEAR)])
def test_what_cannot_be_rescaled_is_refused(base: VPDiscrete) -> None:
    with pytest.raises(InvalidInput, match="not rescaled yet"):
        VPDiscrete.zero_terminal_snr(base)


def test_equal_tables_are_equal_processes_whatever_their_name() -> None:
    table = np.cumprod(1.0 - np.linspace(1e-4, 0.02, 1000)).tolist()
    assert VPDiscrete(table) == LINEAR
    assert len({VPDiscrete(table), LINEAR, VPDiscrete.linear(500)}) == 2
    assert LINEAR != "vp-discrete"
    assert "linear" in repr(LINEAR)


@pytest.mark.parametrize(
    "process",
    [
        LINEAR,
        VPDiscrete.scaled_linear(),
        VPDiscrete.cosine(50),
        VPDiscrete([0.9, 0.5, 0.2]),
        VPDiscrete.zero_terminal_snr(LINEAR),
        VPDiscrete.zero_terminal_snr(VPDiscrete([0.9, 0.5, 0.2])),
    ],
)
def test_a_description_gives_the_same_process_back(process: VPDiscrete) -> None:
    again = process_from_description(process.describe())
    times = [i / 7 for i in range(8)]
    assert [again.at(t) for t in times] == [process.at(t) for t in times]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"family": "levy"}, "process.family"),
        ({"beta_schedule": "sigmoid"}, "process.beta_schedule"),
        ({"beta_end": "0.02"}, "process.beta_end"),
        ({"beta_end": 1.0}, "process.beta_end"),
        ({"beta_start": -0.1, "beta_schedule": "scaled_linear"}, "process.beta_start"),
        ({"beta_schedule": "table"}, "process.alphas_cumprod"),
        ({"beta_schedule": "table", "alphas_cumprod": ["0.5"]}, "process.alphas_cumprod"),
        ({"num_train_timesteps": 1000.5}, "process.num_train_timesteps"),
        ({"num_train_timesteps": 10**9}, "process.num_train_timesteps"),
        ({"interpolation": "linear"}, "process.interpolation"),
        ({"rescale_zero_snr": False}, "process.rescale_zero_snr"),
        ({"beta_strat": 0.1}, "process.beta_strat"),
    ],
)
def test_wrong_descriptions_name_their_field(change: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        process_from_description(LINEAR.describe() | change)
    assert caught.value.field == field
