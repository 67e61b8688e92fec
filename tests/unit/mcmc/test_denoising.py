"""From chains to samples: the published integrators, rows in place, adaptive steps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from fewstep.denoisers import StackedLevel
from fewstep.errors import InvalidInput
from fewstep.mcmc import karras_levels, relative_times
from fewstep.mcmc.adaptive import denoise_adaptively
from fewstep.mcmc.denoising import Denoising
from fewstep.mcmc.integrators import INTEGRATORS
from fewstep.process import EDM, VPLinear
from fewstep.program import trace
from fewstep.running import sample
from fewstep.solvers import Kind
from tests.mixture2d import MIXTURE, exact_flow, start_states
from tests.unit.mcmc.chains import VE_PROCESS, VP_PROCESS, draws
from tests.unit.mcmc.numpy_integrators import PUBLISHED, SIGMA_MIN

RHOS = (0.06, 0.3, 0.3, 1.0, 2.5, 2.5, 9.0, 40.0)


def chains() -> Tensor:
    """States whose noise fits `RHOS`."""
    return torch.tensor(RHOS, dtype=torch.float64)[:, None] * start_states(len(RHOS))


def denoising_of(name: str, count: int) -> Denoising:
    entry = INTEGRATORS.get(name)
    return Denoising(
        process=VE_PROCESS,
        schedule=entry.levels(count, SIGMA_MIN),
        solver=entry.solver,
        options=entry.options(count),
    )


@pytest.mark.parametrize("count", [5, 12])
@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_integrators_are_the_published_ones_from_each_chains_own_level(
    name: str, count: int
) -> None:
    found = denoising_of(name, count).run(MIXTURE, chains(), RHOS, draws(5))
    rng, sigma_0 = np.random.default_rng(5), np.array(RHOS)[:, None]
    expected = PUBLISHED[name](chains().numpy(), sigma_0, count, rng)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", INTEGRATORS.names())
def test_integrators_cost_what_the_plots_say(name: str) -> None:
    assert denoising_of(name, 12).nfe(1.0) == (2 * 12 - 3 if name.startswith("KAR") else 12)


@pytest.mark.parametrize("solver", ["ddim", "dpm-solver++-2m", "heun", "karras-churn", "unipc-2"])
def test_a_chain_is_denoised_as_if_it_were_alone(solver: str) -> None:
    process = VPLinear()
    schedule = relative_times([0.9, 0.6, 0.3, 0.1, 0.01, 0.0], process)
    denoising = Denoising(process=process, schedule=schedule, solver=solver)
    together = denoising.run(MIXTURE, chains(), RHOS, draws(0))
    for i, rho in enumerate(RHOS):
        times = schedule.rebased(rho, process)
        x = process.at(times[0]).alpha * chains()[i : i + 1]
        stream = draws(0)
        noise = [stream.normal((len(RHOS), 2))[i : i + 1] for _ in range(len(times) - 1)]
        alone = sample(MIXTURE, x, times=times, process=process, solver=solver, noise=noise)
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-12, atol=1e-12)


class Labelled:
    """A denoiser that holds one label per row: each row's data is the point of its label."""

    def __init__(self, labels: Tensor) -> None:
        self.labels = labels

    def __call__(self, x: Tensor, at: StackedLevel, kind: Kind = "denoised") -> Tensor:
        return self.labels[:, None].expand_as(x)


def test_rows_stay_in_their_places_so_labels_do() -> None:
    labels = torch.arange(len(RHOS)).double()
    rhos = [RHOS[i] for i in (3, 7, 0, 5, 2, 6, 1, 4)]
    denoising = Denoising(process=VP_PROCESS, schedule=karras_levels(5, 0.02), solver="ddim")
    found = denoising.run(Labelled(labels), chains(), rhos, draws(0))
    torch.testing.assert_close(found, labels[:, None].expand(-1, 2), rtol=1e-12, atol=1e-12)


def test_the_last_denoising_moves_along_the_score() -> None:
    denoising = Denoising(
        process=VE_PROCESS, schedule=karras_levels(5, 0.02), solver="ddim", tweedie_rho=0.1
    )
    plain = Denoising(process=VE_PROCESS, schedule=karras_levels(5, 0.02), solver="ddim")
    x = plain.run(MIXTURE, chains(), RHOS, draws(0))
    rows = torch.full((len(x),), 0.1, dtype=torch.float64)
    at = StackedLevel(t=rows, alpha=torch.ones_like(rows), sigma=rows, network_time=rows)
    expected = x + 0.01 * MIXTURE.score(x, at)
    found = denoising.run(MIXTURE, chains(), RHOS, draws(0))
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)


def test_a_schedule_that_ends_noisy_is_refused() -> None:
    schedule = relative_times([0.9, 0.5, 0.1], VP_PROCESS)
    with pytest.raises(InvalidInput, match="times: the schedule ends noisy"):
        Denoising(process=VP_PROCESS, schedule=schedule, solver="ddim")


def test_each_level_is_traced_once() -> None:
    denoising = denoising_of("KAR1", 5)
    assert denoising.program(0.3) is denoising.program(0.3)
    assert denoising.program(0.3) != denoising.program(0.4)


@pytest.mark.parametrize("options", [{"colour": 1}, {"s_churn": -1.0}])
def test_options_a_solver_does_not_take_are_named(options: Mapping[str, object]) -> None:
    denoising = Denoising(
        process=EDM(), schedule=karras_levels(5, 0.1), solver="karras-churn", options=options
    )
    with pytest.raises(InvalidInput, match=r"options\."):
        denoising.run(MIXTURE, chains(), RHOS, draws(0))


def test_adaptive_steps_follow_the_flow_of_every_chain() -> None:
    found = denoise_adaptively(
        MIXTURE, chains(), RHOS, process=VP_PROCESS, rho_min=0.02, rtol=1e-9, atol=1e-9
    )
    for i, rho in enumerate(RHOS):
        top, bottom = VP_PROCESS.at_rho(rho), VP_PROCESS.at_rho(0.02 * (rho / 0.02) ** 1e-5)
        x = top.alpha * chains()[i : i + 1]
        exact = exact_flow(x, top, bottom, process=VP_PROCESS) / bottom.alpha
        torch.testing.assert_close(found.x[i : i + 1], exact, rtol=1e-6, atol=1e-6)


def test_adaptive_steps_leave_chains_below_the_last_level_alone() -> None:
    found = denoise_adaptively(MIXTURE, chains(), RHOS, process=VP_PROCESS, rho_min=0.1)
    torch.testing.assert_close(found.x[:1], chains()[:1])
    assert float((found.x[1:] - chains()[1:]).abs().min()) > 0.0


def test_too_many_adaptive_calls_are_refused() -> None:
    with pytest.raises(InvalidInput, match="max_calls=20"):
        denoise_adaptively(
            MIXTURE, chains(), RHOS, process=VP_PROCESS, rho_min=0.02, rtol=1e-9, max_calls=20
        )


@pytest.mark.parametrize("rho_0", [0.3, 5.0])
def test_the_probability_flow_in_rho_squared_is_first_order(rho_0: float) -> None:
    top, bottom = VP_PROCESS.at_rho(rho_0), VP_PROCESS.at_rho(0.05)
    exact = exact_flow(start_states(), top, bottom, process=VP_PROCESS)
    errors = []
    for steps in (80, 160):
        rhos = np.geomspace(rho_0, 0.05, steps + 1)
        times = [VP_PROCESS.at_rho(float(rho)).t for rho in rhos]
        found = sample(
            MIXTURE, start_states(), times=times, process=VP_PROCESS, solver="probability-flow"
        )
        errors.append(float((found - exact).square().mean().sqrt()))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(1.0, abs=0.2), errors


def test_a_range_of_one_level_is_walked_at_once() -> None:
    program = trace([0.5, 0.0], process=VP_PROCESS, solver="euler-maruyama-uniform")
    assert (program.output, program.noise_terms) == ({"d0": 1.0}, 0)
