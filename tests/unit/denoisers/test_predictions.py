"""Denoisers: every parametrisation gives the same clean prediction, and guidance is the formula."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fewstep.denoisers import (
    StackedLevel,
    class_conditional,
    from_denoised,
    from_noise,
    from_velocity,
)
from fewstep.errors import InvalidInput
from fewstep.process import VPDiscrete

PROCESS = VPDiscrete.linear()


def _at(index: int, batch: int) -> StackedLevel:
    t = PROCESS.time_of(index)
    return StackedLevel.of(PROCESS.at(t), PROCESS.network_time(t), batch, torch.device("cpu"))


def _clean(x: Tensor) -> Tensor:
    return torch.sin(x)


@pytest.mark.parametrize("index", [0, 300, 999])
def test_noise_velocity_and_clean_parametrisations_agree(index: int) -> None:
    at = _at(index, 5)
    x = torch.randn(5, 2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    alpha, sigma = at.coefficients(x)
    eps = (x - alpha * _clean(x)) / sigma
    denoisers = [
        from_noise(lambda state, t: eps, PROCESS),
        from_velocity(lambda state, t: alpha * eps - sigma * _clean(x), PROCESS),
        from_denoised(lambda state, t: _clean(x), PROCESS),
    ]
    for denoiser in denoisers:
        torch.testing.assert_close(denoiser(x, at), _clean(x), rtol=1e-9, atol=1e-9)


def test_clipping_limits_the_denoised_prediction() -> None:
    denoiser = from_denoised(lambda state, t: 3.0 * state, PROCESS, clip=1.0)
    x = torch.tensor([[2.0], [-0.1]])
    torch.testing.assert_close(denoiser(x, _at(10, 2)), torch.tensor([[1.0], [-0.3]]))


def test_a_network_gets_process_time_in_the_states_type() -> None:
    seen: list[Tensor] = []

    def network(x: Tensor, t: Tensor) -> Tensor:
        seen.append(t)
        return x

    from_noise(network, PROCESS)(torch.zeros(3, 1), _at(499, 3))
    assert seen[0].dtype == torch.float32
    torch.testing.assert_close(seen[0], torch.full((3,), 0.5))


def test_guidance_extrapolates_from_the_null_label() -> None:
    def network(x: Tensor, time: Tensor, labels: Tensor) -> Tensor:
        return x * 0 + labels.view(-1, 1).to(x.dtype)

    x, at = torch.zeros(2, 1, dtype=torch.float64), _at(400, 2)
    labels = torch.tensor([1, 3])
    alpha, sigma = at.coefficients(x)
    denoiser = class_conditional(network, labels=labels, guidance_scale=2.5, null_label=10)
    eps = 10 + 2.5 * (labels.view(-1, 1) - 10)
    torch.testing.assert_close(denoiser(x, at), -sigma * eps / alpha)


def test_a_scale_of_one_is_one_pass_of_the_conditional_model() -> None:
    batches: list[int] = []

    def network(x: Tensor, time: Tensor, labels: Tensor) -> Tensor:
        batches.append(len(x))
        return x

    for scale in (1.0, 2.0):
        class_conditional(
            network, labels=torch.tensor([1, 3]), guidance_scale=scale, null_label=10
        )(torch.zeros(2, 1), _at(5, 2))
    assert batches == [2, 4]


def test_guidance_without_a_null_label_is_refused() -> None:
    with pytest.raises(InvalidInput, match="guidance_scale=2"):
        class_conditional(lambda x, t, y: x, labels=torch.tensor([0]), guidance_scale=2.0)


def test_kinds_of_split_guidance_are_refused_by_plain_denoisers() -> None:
    denoiser = from_noise(lambda x, t: x, PROCESS)
    with pytest.raises(InvalidInput, match="gradient"):
        denoiser(torch.zeros(1, 1), _at(5, 1), "gradient")
