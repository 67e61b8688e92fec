"""Chains against starting from pure noise, at equal calls, for each published integrator."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from fewstep.mcmc import DLGSettings, class_grid
from fewstep.mcmc.adaptive import denoise_adaptively
from fewstep.mcmc.chain import ChainState, Kernel
from fewstep.mcmc.denoising import Denoising
from fewstep.mcmc.emission import Window, run_window
from fewstep.mcmc.integrators import INTEGRATORS
from fewstep.mcmc.posterior import MixturePosterior
from tests.mixture2d import MIXTURE
from tests.unit.mcmc.chains import VE_PROCESS, draws
from tests.unit.mcmc.statistics2d import energy_distance

SIGMA_MIN, SIGMA_MAX = 0.02, 50.0
CHAINS = 1000
NUM_SKIP = 2
CHAIN_MAX = 5.0  # modes connect above 1: no need to go as high as pure noise


@cache
def fresh() -> Tensor:
    return torch.from_numpy(MIXTURE.sample(4000, np.random.default_rng(5)))


@cache
def window(emission: str = "last") -> tuple[Kernel, Window]:
    """Chains from samples of 37 calls, as published, after a burn-in of 50 steps and one window."""
    posterior = MixturePosterior(MIXTURE, class_grid(SIGMA_MIN, CHAIN_MAX, 48))
    settings = DLGSettings.from_dict(
        {"eta": 0.3, "num_skip": NUM_SKIP, "space": "ve", "step_rule": "scaled"}
        | {"emission": emission, "start_rho": 1.0}
    )
    kernel = Kernel(MIXTURE, posterior, process=VE_PROCESS, settings=settings)
    stream = draws(3)
    finished = denoised("KAR2", 37, noise(), [SIGMA_MAX] * CHAINS)
    state = kernel.start(finished, stream)
    for _ in range(50):
        state = kernel.step(state, stream)
    return kernel, run_window(kernel, state, stream)


def noise() -> Tensor:
    return SIGMA_MAX * draws(7).normal((CHAINS, 2))


def denoised(name: str, calls: int, x_hat: Tensor, rhos: list[float]) -> Tensor:
    """By an integrator of at most that many calls."""
    entry = INTEGRATORS.get(name)
    count = (calls + 3) // 2 if name.startswith("KAR") else calls
    denoising = Denoising(
        process=VE_PROCESS,
        schedule=entry.levels(count, SIGMA_MIN),
        solver=entry.solver,
        options=entry.options(count),
    )
    assert denoising.nfe(SIGMA_MAX) <= calls
    return denoising.run(MIXTURE, x_hat, rhos, draws(4))


def plain(name: str, calls: int) -> float:
    """Energy distance from pure noise."""
    return energy_distance(denoised(name, calls, noise(), [SIGMA_MAX] * CHAINS), fresh())


def with_chains(name: str, calls: int, *, emission: str = "last") -> float:
    """Energy distance from chain states, whose window's steps are among the calls."""
    kernel, found = window(emission)
    state: ChainState = found.emitted
    samples = denoised(name, calls - NUM_SKIP, state.x, kernel.rhos(state).tolist())
    return energy_distance(samples, fresh())


@pytest.mark.slow
@pytest.mark.parametrize("name", INTEGRATORS.names())
def test_chains_are_several_times_better_at_ten_calls(name: str) -> None:
    without, found = plain(name, 10), with_chains(name, 10)
    assert found < without / 5.0, f"{name}: {without:.4f} without chains, {found:.4f} with"


def adaptively(x: Tensor, rhos: list[float], tolerance: float) -> tuple[int, float]:
    """Calls, and the energy distance they came to."""
    result = denoise_adaptively(
        MIXTURE, x, rhos, process=VE_PROCESS, rho_min=SIGMA_MIN, rtol=tolerance, atol=tolerance
    )
    return result.calls, energy_distance(result.x, fresh())


@pytest.mark.slow
@pytest.mark.parametrize("tolerance", [0.3, 0.1, 0.03])
def test_adaptive_steps_from_chains_are_better_and_need_no_more_calls(tolerance: float) -> None:
    kernel, found = window()
    calls, without = adaptively(noise(), [SIGMA_MAX] * CHAINS, tolerance)
    rhos = kernel.rhos(found.emitted).tolist()
    calls_with, energy = adaptively(found.emitted.x, rhos, tolerance)
    assert calls_with + NUM_SKIP <= calls, (calls, calls_with)
    assert energy < without / 3.0, (without, energy)


@pytest.mark.slow
def test_pure_noise_has_caught_up_at_fifty_calls_and_quiet_emission_stays_biased() -> None:
    without, last = plain("KAR1", 50), with_chains("KAR1", 50)
    quiet = with_chains("KAR1", 50, emission="min-excl-start")
    numbers = f"{without:.4f} without chains, {last:.4f} last, {quiet:.4f} quietest"
    assert abs(without - last) < 0.006, numbers
    assert quiet > last + 0.002, numbers
