"""What chains converge to: the joint distribution, and what mistakes or rules make of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from fewstep.mcmc import DLGSettings, karras_levels
from fewstep.mcmc.chain import ChainState
from fewstep.mcmc.denoising import Denoising
from fewstep.mcmc.emission import run_window
from tests.mixture2d import MIXTURE
from tests.unit.mcmc import numpy_dlg
from tests.unit.mcmc.chains import SETTINGS, Setting, chain_state, draws
from tests.unit.mcmc.numpy_dlg import NumpyDLG
from tests.unit.mcmc.statistics2d import (
    component_shares,
    energy_distance,
    normalised_squared_distance,
)

# Energy distance of 1000 exact samples to 4000 others: 0.000 +- 0.002.
FLOOR = 0.006


@dataclass(frozen=True)
class Found:
    """What chains came to; each number is 0 where they are right."""

    level: float  # mean of the log level, above the prior's, in deviations of the prior
    spread: float  # standard deviation of the log level, above the prior's, in the same unit
    energy: float  # energy distance of the denoised states to the data
    weight: float  # largest error of a component's weight
    size: float  # normalised squared distance to the means, minus 1

    @property
    def is_right(self) -> bool:
        """Within the noise of a thousand chains and the bias of short Langevin steps."""
        moments = abs(self.level) < 0.15 and abs(self.spread) < 0.1
        samples = self.energy < FLOOR and self.weight < 0.06 and abs(self.size) < 0.15
        return moments and samples


def fresh() -> Tensor:
    return torch.from_numpy(MIXTURE.sample(4000, np.random.default_rng(5)))


def judged(setting: Setting, second: NumpyDLG, state: ChainState) -> Found:
    logs = np.log(second.scale)
    levels = logs[state.classes.numpy()]
    kernel = setting.kernel(DLGSettings(eta=0.1, num_skip=1, space=setting.space))
    schedule = karras_levels(20, 0.02)
    denoising = Denoising(process=setting.process, schedule=schedule, solver="heun")
    rhos = kernel.rhos(state).tolist()
    samples = denoising.run(MIXTURE, kernel.rescaled(state), rhos, draws(0))
    weights = torch.tensor(MIXTURE.weights, dtype=torch.float64)
    return Found(
        level=float((levels.mean() - logs.mean()) / logs.std()),
        spread=float(levels.std() / logs.std() - 1.0),
        energy=energy_distance(samples, fresh()),
        weight=float((component_shares(samples) - weights).abs().max()),
        size=normalised_squared_distance(samples) - 1.0,
    )


def after(setting: Setting, settings: DLGSettings, *, chains: int, steps: int) -> Found:
    """The library's chains, from the joint distribution."""
    second, kernel, stream = setting.second(NumpyDLG, settings), setting.kernel(settings), draws(1)
    state = chain_state(*second.exact_joint(chains, np.random.default_rng(0)))
    for _ in range(steps):
        state = kernel.step(state, stream)
    return judged(setting, second, state)


@pytest.mark.parametrize("space", sorted(SETTINGS))
def test_chains_stay_in_the_joint_distribution_for_a_while(space: str) -> None:
    setting = SETTINGS[space]
    settings = DLGSettings(eta=0.1, num_skip=1, space=setting.space, step_rule="scaled")
    found = after(setting, settings, chains=1000, steps=20)
    assert found.is_right, found


@pytest.mark.slow
@pytest.mark.parametrize("space", sorted(SETTINGS))
def test_chains_stay_in_the_joint_distribution(space: str) -> None:
    setting = SETTINGS[space]
    settings = DLGSettings(eta=0.2, num_skip=1, space=setting.space, step_rule="scaled")
    found = after(setting, settings, chains=1000, steps=200)
    assert found.is_right, found


@pytest.mark.slow
@pytest.mark.parametrize("space", sorted(SETTINGS))
def test_adjusted_chains_keep_the_prior_within_the_monte_carlo_error(space: str) -> None:
    setting = SETTINGS[space]
    settings = DLGSettings(
        eta=0.3, num_skip=1, space=setting.space, step_rule="scaled", adjust="mala"
    )
    found = after(setting, settings, chains=1000, steps=200)
    error = 1.0 / np.sqrt(1000)
    assert abs(found.level) < 3.0 * error, (found, error)
    assert abs(found.spread) < 3.0 * error, (found, error)
    assert found.energy < FLOOR, found


MISTAKES = [
    ("ve", numpy_dlg.WithoutHalf, 0.2),
    ("ve", numpy_dlg.TwiceTheNoise, 0.2),
    ("ve", numpy_dlg.WrongSign, 0.2),
    ("ve", numpy_dlg.EpsAsScore, 1.0),  # only large steps show it in the statistics
    ("ve", numpy_dlg.ScaledWithoutSquare, 0.2),
    ("ve", numpy_dlg.WithoutNormaliser, 0.2),
    ("ve", numpy_dlg.LinearPrior, 0.2),
    ("ve", numpy_dlg.StaleGibbs, 0.2),
    ("vp-rescaled", numpy_dlg.WithoutJacobian, 0.2),
]


@pytest.mark.slow
@pytest.mark.parametrize(("space", "kind", "eta"), MISTAKES)
def test_the_usual_mistakes_show_in_the_statistics(
    space: str, kind: type[NumpyDLG], eta: float
) -> None:
    setting = SETTINGS[space]
    settings = DLGSettings(eta=eta, num_skip=1, space=setting.space, step_rule="scaled")
    broken = setting.second(kind, settings)
    x, classes = broken.exact_joint(800, np.random.default_rng(0))
    with np.errstate(all="ignore"):
        state = chain_state(*broken.run(x, classes, 80, np.random.default_rng(1)))
    found = judged(setting, broken, state)
    assert not found.is_right, found


@pytest.mark.slow
def test_predicted_noise_as_native_score_is_statistically_invisible() -> None:
    """Why trajectories are held, too: most of the time sigma is close to 1 there."""
    setting = SETTINGS["vp-native"]
    settings = DLGSettings(eta=0.2, num_skip=1, space="vp-native", step_rule="scaled")
    broken = setting.second(numpy_dlg.EpsAsScore, settings)
    x, classes = broken.exact_joint(800, np.random.default_rng(0))
    state = chain_state(*broken.run(x, classes, 80, np.random.default_rng(1)))
    found = judged(setting, broken, state)
    assert found.energy < FLOOR, found


def emitted(rule: str) -> Found:
    """States that adjusted chains emit, which are right but for the rule."""
    setting = SETTINGS["ve"]
    settings = DLGSettings.from_dict(
        {"eta": 0.3, "num_skip": 10, "space": "ve", "step_rule": "scaled"}
        | {"adjust": "mala", "emission": rule}
    )
    second, kernel = setting.second(NumpyDLG, settings), setting.kernel(settings)
    state = chain_state(*second.exact_joint(1000, np.random.default_rng(0)))
    return judged(setting, second, run_window(kernel, state, draws(2)).emitted)


def test_emitting_the_last_state_is_unbiased() -> None:
    found = emitted("last")
    assert abs(found.size) < 0.1, found
    assert found.energy < FLOOR, found


@pytest.mark.parametrize("rule", ["min-incl-start", "min-excl-start"])
def test_emitting_the_quietest_state_is_biased(rule: str) -> None:
    found = emitted(rule)
    assert found.size > 0.3, found


@pytest.mark.slow
@pytest.mark.parametrize("space", ["vp-native", "vp-rescaled"])
def test_chains_that_start_in_one_mode_find_the_others(space: str) -> None:
    setting = SETTINGS[space]
    settings = DLGSettings(eta=0.2, num_skip=1, space=setting.space, step_rule="scaled")
    second, kernel, stream = setting.second(NumpyDLG, settings), setting.kernel(settings), draws(1)
    state = kernel.start(torch.tensor([[1.0, 1.0]]).double().repeat(1000, 1), stream)
    energies = []
    for steps in (1, 9, 140):
        for _ in range(steps):
            state = kernel.step(state, stream)
        energies.append(judged(setting, second, state).energy)
    assert energies[0] > 0.5, energies
    assert energies[2] < FLOOR, energies
