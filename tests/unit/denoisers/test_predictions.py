"""Denoisers: every parametrisation gives the same clean prediction, and guidance is the formula."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fewstep.denoisers import (
    StackedLevel,
    class_conditional,
    from_denoised,
    from_noise,
    from_score,
    from_velocity,
)
from fewstep.errors import InvalidInput
from fewstep.process import EDM, VE, FlowMatching, Process, SubVP, VPDiscrete
from tests.mixture2d import MIXTURE, start_states
from tests.processes import PROCESSES, label

PROCESS = VPDiscrete.linear()


def _at(index: int, batch: int) -> StackedLevel:
    t = PROCESS.time_of(index)
    return StackedLevel.of(PROCESS.at(t), PROCESS.network_time(t), batch, torch.device("cpu"))


VELOCITIES: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "vp-discrete": lambda clean, eps, alpha, sigma: alpha * eps - sigma * clean,
    "vp-linear": lambda clean, eps, alpha, sigma: alpha * eps - sigma * clean,
    "vp-cosine": lambda clean, eps, alpha, sigma: alpha * eps - sigma * clean,
    "flow-matching": lambda clean, eps, alpha, sigma: eps - clean,
}


@pytest.mark.parametrize("process", PROCESSES, ids=label)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_every_parametrisation_of_the_exact_mixture_gives_its_denoiser(
    process: Process, share: float
) -> None:
    t = process.t_min + share * (process.t_max - process.t_min)
    at = StackedLevel.of(process.at(t), process.network_time(t), 16, torch.device("cpu"))
    alpha, sigma = at.coefficients(start_states())
    x = alpha * start_states() + sigma * start_states().flip(0)
    truth, score = MIXTURE(x, at), MIXTURE.score(x, at)
    eps = -sigma * score
    denoisers = {
        "noise": from_noise(lambda state, time: eps, process),
        "denoised": from_denoised(lambda state, time: truth, process),
        "score": from_score(lambda state, time: score, process),
    }
    if (velocity := VELOCITIES.get(process.family)) is not None:
        v = velocity(truth, eps, alpha, sigma)
        denoisers["velocity"] = from_velocity(lambda state, time: v, process)
    for name, denoiser in denoisers.items():
        error = (denoiser(x, at) - truth).abs().max().item()
        assert error < 1e-11, (name, error)


def test_a_flow_network_gives_its_own_prediction_at_the_very_start() -> None:
    """At u = 1 the path is eps alone: x0 = x - v, with no 1 / alpha that would blow errors up."""
    process = FlowMatching()
    at = StackedLevel.of(process.at(1.0), 1000.0, 16, torch.device("cpu"))
    x, clean = start_states(), start_states().flip(0)
    denoiser = from_velocity(lambda state, time: state - clean, process)
    torch.testing.assert_close(denoiser(x, at), clean, rtol=1e-15, atol=1e-15)


@pytest.mark.parametrize("process", [SubVP(), VE(), EDM()], ids=label)
def test_velocities_are_refused_where_there_is_no_convention(process: Process) -> None:
    with pytest.raises(InvalidInput, match="allowed: flow-matching, vp-cosine") as caught:
        from_velocity(lambda x, t: x, process)
    assert caught.value.field == "process"


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
