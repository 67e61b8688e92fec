"""The adaptive reference reaches the exact flow within its tolerance."""

from __future__ import annotations

import math

import pytest
import torch

from fewstep.adaptive import probability_flow
from fewstep.errors import InvalidInput
from fewstep.process import VPDiscrete
from tests.mixture2d import MIXTURE, at_level, reference, rms, start_states

PROCESS = VPDiscrete.linear()
START, END = PROCESS.at_rho(20.0).t, PROCESS.at_rho(0.05).t


@pytest.mark.parametrize("tolerance", [1e-4, 1e-7, 1e-10])
def test_the_error_is_that_of_the_tolerance(tolerance: float) -> None:
    found = probability_flow(
        MIXTURE,
        start_states(),
        process=PROCESS,
        start=START,
        end=END,
        rtol=tolerance,
        atol=tolerance,
    )
    error = rms(found.x - reference(PROCESS, START, END))
    assert error < 20 * tolerance, (error, found.calls)


def test_calls_grow_as_the_fifth_root_of_the_tolerance() -> None:
    calls = [
        probability_flow(
            MIXTURE,
            start_states(),
            process=PROCESS,
            start=START,
            end=END,
            rtol=tolerance,
            atol=tolerance,
        ).calls
        for tolerance in (1e-6, 1e-8, 1e-10)
    ]
    ratios = [calls[1] / calls[0], calls[2] / calls[1]]
    assert all(ratio == pytest.approx(100**0.2, rel=0.2) for ratio in ratios), calls


def test_calls_are_those_of_the_denoiser() -> None:
    seen = []

    def counting(x: torch.Tensor, at: object, kind: object = "denoised") -> torch.Tensor:
        seen.append(x.shape)
        return MIXTURE(x, at)  # type: ignore[arg-type]

    found = probability_flow(counting, start_states(), process=PROCESS, start=START, end=END)
    assert found.calls == len(seen)
    assert found.calls % 6 == 1  # one, then six per step tried


def test_a_constant_prediction_keeps_its_straight_line() -> None:
    point, x = torch.tensor([0.3, -0.7], dtype=torch.float64), start_states()
    top, bottom = PROCESS.at(START), PROCESS.at(END)
    found = probability_flow(
        lambda x, at, kind="denoised": point.expand_as(x),
        x,
        process=PROCESS,
        start=START,
        end=END,
        rtol=1e-9,
        atol=1e-9,
    )
    exact = bottom.alpha * point + bottom.sigma / top.sigma * (x - top.alpha * point)
    assert rms(found.x - exact) < 1e-7


def test_single_precision_keeps_its_type() -> None:
    found = probability_flow(MIXTURE, start_states().float(), process=PROCESS, start=START, end=END)
    assert found.x.dtype == torch.float32
    assert rms(found.x - reference(PROCESS, START, END)) < 1e-3


def test_too_many_calls_are_refused() -> None:
    with pytest.raises(InvalidInput, match="max_calls=50: the flow is only at rho="):
        probability_flow(
            MIXTURE, start_states(), process=PROCESS, start=START, end=END, max_calls=50
        )


def test_a_prediction_that_is_no_number_does_not_pass_as_a_result() -> None:
    with pytest.raises(InvalidInput, match="max_calls"):
        probability_flow(
            lambda x, at, kind="denoised": x * math.nan,
            start_states(),
            process=PROCESS,
            start=START,
            end=END,
            max_calls=200,
        )


@pytest.mark.parametrize(
    ("start", "end", "rtol", "atol", "field"),
    [
        (START, 0.0, 1e-5, 1e-5, "end"),
        (0.9, 0.95, 1e-5, 1e-5, "end"),
        (START, END, 0.0, 1e-5, "rtol"),
        (START, END, 1e-5, math.nan, "atol"),
    ],
)
def test_what_cannot_be_integrated_is_named(
    start: float, end: float, rtol: float, atol: float, field: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        probability_flow(
            MIXTURE, start_states(), process=PROCESS, start=start, end=end, rtol=rtol, atol=atol
        )
    assert caught.value.field == field


def test_the_slope_is_asked_at_the_levels_of_the_process() -> None:
    """The network time is the process's own for each level."""
    seen: list[tuple[float, float]] = []

    def recording(x: torch.Tensor, at: object, kind: object = "denoised") -> torch.Tensor:
        t, network_time = float(at.t[0]), float(at.network_time[0])  # type: ignore[attr-defined]
        seen.append((t, network_time))
        return MIXTURE(x, at_level(PROCESS.at(t), len(x)))

    probability_flow(recording, start_states(), process=PROCESS, start=START, end=END)
    assert all(network_time == PROCESS.network_time(t) for t, network_time in seen)
    assert max(seen)[0] <= START + 1e-9
    assert min(seen)[0] >= END - 1e-9
