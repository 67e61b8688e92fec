"""What every noise process keeps: inverses, monotone ratios, clean zero, values, documents."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewstep.errors import InvalidInput, UnknownName
from fewstep.process import (
    EDM,
    FAMILIES,
    VE,
    FlowMatching,
    Process,
    SubVP,
    VPCosine,
    VPDiscrete,
    VPLinear,
    process_from_description,
)
from tests.processes import PROCESSES, label

every_process = pytest.mark.parametrize("process", PROCESSES, ids=label)
shares = st.floats(min_value=0.0, max_value=1.0)


def _time(process: Process, share: float, is_geometric: bool) -> float:
    """A time between both ends, spread evenly or over the orders of magnitude.

    Tables take times very near a node as the node: it is the level's own time that is returned.
    """
    low, high = process.t_min, process.t_max
    t = low * (high / low) ** share if is_geometric else low + share * (high - low)
    return process.at(min(max(t, low), high)).t


@every_process
@given(share=shares, is_geometric=st.booleans())
def test_rho_and_back_is_the_same_time(process: Process, share: float, is_geometric: bool) -> None:
    t = _time(process, share, is_geometric)
    again = process.at_rho(process.at(t).rho).t
    # 1e-16: sigma in the time of VE near 1e-5 changes by one rounding where t changes by 3e-17.
    assert abs(again - t) <= 1e-12 * t + 1e-16, (t, again)


@every_process
@given(one=shares, other=shares, is_geometric=st.booleans())
def test_more_time_is_more_noise(
    process: Process, one: float, other: float, is_geometric: bool
) -> None:
    early, late = sorted(_time(process, share, is_geometric) for share in (one, other))
    if late > early * (1.0 + 1e-9):
        assert process.at(late).rho > process.at(early).rho, (early, late)


@pytest.mark.parametrize("process", [p for p in PROCESSES if p.family.startswith("vp")], ids=label)
@given(share=shares, is_geometric=st.booleans())
def test_variance_is_preserved(process: Process, share: float, is_geometric: bool) -> None:
    level = process.at(_time(process, share, is_geometric))
    assert level.alpha**2 + level.sigma**2 == pytest.approx(1.0, abs=1e-15)


@every_process
def test_zero_is_clean_and_so_is_no_noise(process: Process) -> None:
    for level in (process.at(0.0), process.at_rho(0.0)):
        assert (level.t, level.alpha, level.sigma, level.is_clean) == (0.0, 1.0, 0.0, True)


@every_process
@pytest.mark.parametrize("rho", [1e9, math.inf])
def test_more_noise_than_there_is_gives_the_noisiest_level(process: Process, rho: float) -> None:
    assert process.at_rho(rho) == process.at(process.t_max)


@every_process
def test_every_level_is_finite_and_the_ends_are_those_named(process: Process) -> None:
    for t in (process.t_min, process.t_max):
        level = process.at(t)
        assert level.t == t
        assert level.alpha >= 2.0**-12
        numbers = (level.sigma, level.rho, level.lam, process.network_time(t))
        assert all(math.isfinite(number) for number in numbers), numbers


@every_process
@pytest.mark.parametrize("t", [-1e-3, 1e3, math.nan])
def test_times_outside_are_refused_with_the_range(process: Process, t: float) -> None:
    with pytest.raises(InvalidInput, match=r"t=.*allowed: 0 to") as caught:
        process.at(t)
    assert caught.value.field == "t"


@every_process
@pytest.mark.parametrize("rho", [-1.0, math.nan])
def test_ratios_that_are_none_are_refused(process: Process, rho: float) -> None:
    with pytest.raises(InvalidInput, match="rho=") as caught:
        process.at_rho(rho)
    assert caught.value.field == "rho"


@every_process
def test_a_process_comes_back_from_json_equal(process: Process) -> None:
    again = process_from_description(json.loads(json.dumps(process.describe())))
    assert again == process
    assert hash(again) == hash(process)
    assert again.describe() == process.describe()


def test_different_processes_are_different_keys() -> None:
    others = (VPLinear(0.1, 19.0), VE(0.02, 50.0), EDM(0.002, 50.0), VPDiscrete.cosine(100))
    assert len({*PROCESSES, *others}) == len(PROCESSES) + len(others)
    assert VPLinear(1, 20) == VPLinear(1.0, 20.0)


def test_every_family_has_a_process_in_these_tests() -> None:
    assert {process.family for process in PROCESSES} == set(FAMILIES.names())


@pytest.mark.parametrize(
    ("process", "scale"),
    [
        (VPLinear(), 1.0),
        (VPCosine(), 1.0),
        (SubVP(), 1.0),
        (VPDiscrete.linear(), 1.0),
        (FlowMatching(3.0), 1.0),
        (VE(0.01, 378.0), 378.0),
        (EDM(), 80.0),
    ],
    ids=str,
)
def test_start_states_are_as_wide_as_the_noise(process: Process, scale: float) -> None:
    assert process.initial_scale == scale
    assert process.at(process.t_max).sigma == pytest.approx(scale, rel=1e-4)


@pytest.mark.parametrize(
    ("description", "field", "told"),
    [
        ({"family": "levy"}, "process.family", "no such process family; allowed: edm, flow"),
        ({}, "process.family", "family=None"),
        ({"family": ["ve"]}, "process.family", "no such process family"),
        ({"family": "vp-linear", "beta_0": 0.1}, "process.beta_1", "must be a finite number"),
        ({"family": "ve", "sigma_min": "1", "sigma_max": 2}, "process.sigma_min", "'1'"),
        ({"family": "edm", "sigma_min": 3, "sigma_max": 2}, "process.sigma_min", "not below"),
        ({"family": "flow-matching", "shift": 0.0}, "process.shift", "shift=0.0"),
        ({"family": "flow-matching", "shift": math.inf}, "process.shift", "shift=inf"),
        ({"family": "vp-cosine", "offset": 0.1}, "process.offset", "no such field"),
        (
            {"family": "vp-discrete", "beta_schedule": "table", "alphas_cumprod": [0.5, 0.6]},
            "process.alphas_cumprod",
            "strictly decreasing",
        ),
    ],
)
def test_wrong_descriptions_name_their_field(
    description: dict[str, object], field: str, told: str
) -> None:
    with pytest.raises(InvalidInput, match=told) as caught:
        process_from_description(description)
    assert caught.value.field == field


def test_an_unknown_family_is_an_unknown_name() -> None:
    with pytest.raises(UnknownName):
        process_from_description({"family": "ddpm"})
