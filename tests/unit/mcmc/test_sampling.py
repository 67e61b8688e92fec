"""Whole runs: what is emitted, what it cost, and that the same draws give the same samples."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from fewstep.errors import InvalidInput
from fewstep.mcmc import DLGSettings, karras_levels
from fewstep.mcmc.chain import ChainState, Kernel
from fewstep.mcmc.denoising import Denoising
from fewstep.mcmc.emission import quieter, run_window
from fewstep.mcmc.sampling import DLGResult, sample_with_dlg
from tests.mixture2d import MIXTURE
from tests.unit.mcmc.chains import SETTINGS, chain_state, draws
from tests.unit.mcmc.numpy_dlg import NumpyDLG
from tests.unit.mcmc.statistics2d import component_shares, energy_distance

CHAINS = 8
TIMES = (0.8, 0.5, 0.2, 0.05, 0.0)


def settings_of(**others: object) -> DLGSettings:
    base: dict[str, object] = {"eta": 0.2, "num_skip": 3, "space": "vp-rescaled"}
    return DLGSettings.from_dict(base | {"step_rule": "scaled"} | others)


def clean(count: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(MIXTURE.sample(count, np.random.default_rng(seed)))


def sampled(*, count: int = 20, seed: int = 1, **others: object) -> DLGResult:
    settings = settings_of(**others)
    setting = SETTINGS[settings.space]
    return sample_with_dlg(
        MIXTURE,
        setting.posterior,
        settings=settings,
        times=TIMES,
        process=setting.process,
        solver="heun",
        initial=clean(CHAINS),
        count=count,
        draws=draws(seed),
        initialisation_calls=11,
    )


@pytest.mark.parametrize("rule", ["last", "min-incl-start", "min-excl-start"])
def test_a_window_emits_by_its_rule_and_goes_on_from_its_last_state(rule: str) -> None:
    kernel = SETTINGS["ve"].kernel(settings_of(space="ve", emission=rule, num_skip=6))
    start = kernel.start(clean(200), draws(0))
    window = run_window(kernel, start, draws(1))
    visited, stream = [start], draws(1)
    for _ in range(6):
        visited.append(kernel.step(visited[-1], stream))
    torch.testing.assert_close(window.state.x, visited[-1].x)
    candidates = {"last": visited[-1:], "min-incl-start": visited, "min-excl-start": visited[1:]}
    classes = torch.stack([state.classes for state in candidates[rule]])
    first = classes.argmax(dim=0)  # of the least noisy ones the earliest
    expected = torch.stack([state.x for state in candidates[rule]])[first, torch.arange(200)]
    torch.testing.assert_close(window.emitted.x, expected)
    assert window.emitted.classes.tolist() == classes.max(dim=0).values.tolist()


def test_of_equally_quiet_states_the_earlier_is_kept() -> None:
    kept = ChainState(torch.zeros(3, 2), torch.tensor([4, 4, 4]))
    state = ChainState(torch.ones(3, 2), torch.tensor([3, 4, 5]))
    assert quieter(kept, state).x[:, 0].tolist() == [0.0, 0.0, 1.0]


def duplicates(rule: str) -> float:
    """Share of emissions that repeat the window's before, over 40 windows of 200 chains."""
    kernel = SETTINGS["ve"].kernel(settings_of(space="ve", emission=rule))
    stream = draws(3)
    window = run_window(kernel, kernel.start(clean(200), stream), stream)
    repeated = []
    for _ in range(40):
        before = window.emitted
        window = run_window(kernel, window.state, stream)
        repeated.append((window.emitted.x == before.x).all(dim=1).double().mean())
    return float(torch.stack(repeated).mean())


def test_a_windows_start_among_its_candidates_emits_states_twice() -> None:
    found = duplicates("min-incl-start")
    assert found == pytest.approx(1.0 / (2 * 3 + 2), abs=0.05), found


def test_without_the_windows_start_no_state_is_emitted_twice() -> None:
    assert duplicates("min-excl-start") == 0.0


def test_calls_are_counted_by_what_they_were_for() -> None:
    calls = sampled(burn_in=5, tweedie_rho=0.05).calls
    windows, heun = 3, 2 * 3 + 1
    assert calls.burn_in == CHAINS * 5
    assert calls.langevin == CHAINS * windows * 3
    assert calls.denoising == CHAINS * windows * heun
    assert calls.tweedie == CHAINS * windows
    assert calls.initialisation == CHAINS * 11
    assert calls.posterior == CHAINS * (1 + 5 + windows * 3)
    assert calls.plotted_per_sample == 3 + heun
    assert calls.all_in_per_sample == CHAINS * (5 + windows * (3 + heun + 1) + 11) / 20


@pytest.mark.parametrize("adjust", ["none", "mala"])
def test_the_account_is_what_the_denoiser_saw(adjust: str) -> None:
    seen = 0

    def counting(x: Tensor, at: object, kind: str = "denoised") -> Tensor:
        nonlocal seen
        seen += len(x)
        return MIXTURE(x, at)  # type: ignore[arg-type]

    setting, settings = SETTINGS["ve"], settings_of(space="ve", adjust=adjust, burn_in=2)
    result = sample_with_dlg(
        counting,
        setting.posterior,
        settings=settings,
        times=karras_levels(5, 0.02),
        process=setting.process,
        solver="karras-churn",
        initial=clean(CHAINS),
        count=20,
        draws=draws(0),
    )
    assert seen == result.calls.total


def test_samples_run_window_by_window_and_are_cut_to_the_count() -> None:
    some, all_of_them = sampled(count=20), sampled(count=24)
    assert some.samples.shape == (20, 2)
    torch.testing.assert_close(some.samples, all_of_them.samples[:20], rtol=0, atol=0)
    assert len(some.rho_quantiles) == 3
    assert all(b >= a for row in some.rho_quantiles for a, b in pairwise(row))


@pytest.mark.parametrize("space", sorted(SETTINGS))
def test_the_same_draws_give_the_same_samples_and_others_others(space: str) -> None:
    one, again, other = (sampled(space=space, seed=seed).samples for seed in (1, 1, 2))
    torch.testing.assert_close(one, again, rtol=0, atol=0)
    assert not torch.allclose(one, other)


def test_a_run_can_go_on_from_where_it_ended() -> None:
    setting, settings = SETTINGS["vp-rescaled"], settings_of()
    kernel: Kernel = setting.kernel(settings)
    first = sampled(count=CHAINS)
    stream = draws(1)
    state = kernel.start(clean(CHAINS), stream)
    state = run_window(kernel, state, stream).state
    torch.testing.assert_close(first.state.x, state.x, rtol=0, atol=0)


def test_no_samples_are_refused() -> None:
    with pytest.raises(InvalidInput, match="count=0"):
        sampled(count=0)


def from_joint(space: str, count: int, *, seed: int = 4) -> tuple[Kernel, ChainState]:
    """Chains that are distributed as they should be, without having run."""
    setting, settings = SETTINGS[space], settings_of(space=space)
    second = setting.second(NumpyDLG, settings)
    state = chain_state(*second.exact_joint(count, np.random.default_rng(seed)))
    return setting.kernel(settings), state


def denoised(space: str, x_hat: Tensor, rhos: list[float]) -> Tensor:
    process = SETTINGS[space].process
    denoising = Denoising(process=process, schedule=karras_levels(16, 0.02), solver="heun")
    return denoising.run(MIXTURE, x_hat, rhos, draws(0))


@pytest.mark.parametrize("space", sorted(SETTINGS))
def test_states_of_the_joint_distribution_denoise_to_the_data(space: str) -> None:
    kernel, state = from_joint(space, 1000)
    samples = denoised(space, kernel.rescaled(state), kernel.rhos(state).tolist())
    assert energy_distance(samples, clean(4000, seed=9)) < 0.006
    weights = torch.tensor(MIXTURE.weights, dtype=torch.float64)
    assert float((component_shares(samples) - weights).abs().max()) < 0.05


def test_denoising_from_the_noisiest_level_is_told_apart() -> None:
    kernel, state = from_joint("ve", 1000)
    samples = denoised("ve", kernel.rescaled(state), [SETTINGS["ve"].rhos[0]] * 1000)
    assert energy_distance(samples, clean(4000, seed=9)) > 0.1


def test_native_states_denoised_without_the_division_are_told_apart() -> None:
    kernel, state = from_joint("vp-native", 1000)
    samples = denoised("vp-native", state.x, kernel.rhos(state).tolist())
    assert energy_distance(samples, clean(4000, seed=9)) > 0.02
