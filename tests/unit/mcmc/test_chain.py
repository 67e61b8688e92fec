"""Chains: step for step those of the second implementation, and what they refuse."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from fewstep.denoisers import StackedLevel
from fewstep.errors import InvalidInput
from fewstep.mcmc import DLGSettings, class_grid
from fewstep.mcmc.chain import ChainState, Kernel, inverse_cdf_classes
from fewstep.mcmc.posterior import ClassifierPosterior, MixturePosterior
from fewstep.process import EDM
from fewstep.solvers import Kind
from tests.mixture2d import MIXTURE, start_states
from tests.unit.mcmc import numpy_dlg
from tests.unit.mcmc.chains import SETTINGS, VE_RHOS, VP_PROCESS, chain_state, draws
from tests.unit.mcmc.numpy_dlg import NumpyDLG

MOVES: dict[str, dict[str, object]] = {
    "fixed": {"eta": 0.05},
    "scaled": {"eta": 0.2, "step_rule": "scaled"},
    "argmax": {"eta": 0.05, "gibbs": "argmax"},
    "mala": {"eta": 0.05, "adjust": "mala"},
    "mala-argmax": {"eta": 0.3, "step_rule": "scaled", "adjust": "mala", "gibbs": "argmax"},
    "corrected": {"eta": 0.05, "adjust": "noise-corrected"},
}


def settings_of(space: str, move: str = "fixed", **others: object) -> DLGSettings:
    return DLGSettings.from_dict({"space": space, "num_skip": 5} | MOVES[move] | others)


def distance_after(
    space: str, kind: type[NumpyDLG], settings: DLGSettings, *, steps: int = 50
) -> float:
    """How far the library's chains are from those of an implementation in numpy."""
    setting = SETTINGS[space]
    second = setting.second(kind, settings)
    x, classes = second.exact_joint(32, np.random.default_rng(0))
    with np.errstate(all="ignore"):  # broken ones may leave the floating range
        there, classes_there = second.run(x, classes, steps, np.random.default_rng(1))
    state, stream, kernel = chain_state(x, classes), draws(1), setting.kernel(settings)
    for _ in range(steps):
        state = kernel.step(state, stream)
    apart = np.abs(state.x.numpy() - there).max()
    moved = np.abs(state.classes.numpy() - classes_there).max()
    return float(np.nan_to_num(apart + moved, nan=np.inf))


@pytest.mark.parametrize(("space", "move"), list(product(sorted(SETTINGS), MOVES)))
def test_fifty_steps_are_those_of_the_second_implementation(space: str, move: str) -> None:
    distance = distance_after(space, NumpyDLG, settings_of(space, move))
    assert distance < 1e-12, distance


BROKEN = [
    ("ve", "fixed", numpy_dlg.WithoutHalf),
    ("ve", "fixed", numpy_dlg.TwiceTheNoise),
    ("ve", "fixed", numpy_dlg.WrongSign),
    ("ve", "fixed", numpy_dlg.EpsAsScore),
    ("vp-native", "fixed", numpy_dlg.EpsAsScore),
    ("ve", "scaled", numpy_dlg.ScaledWithoutSquare),
    ("ve", "fixed", numpy_dlg.WithoutNormaliser),
    ("ve", "fixed", numpy_dlg.LinearPrior),
    ("ve", "fixed", numpy_dlg.StaleGibbs),
    ("vp-rescaled", "fixed", numpy_dlg.WithoutJacobian),
]


@pytest.mark.parametrize(("space", "move", "kind"), BROKEN)
def test_each_usual_mistake_leaves_the_trajectory(
    space: str, move: str, kind: type[NumpyDLG]
) -> None:
    distance = distance_after(space, kind, settings_of(space, move))
    assert distance > 1e-2, f"{kind.__name__} is only {distance} away"


@pytest.mark.parametrize("space", sorted(SETTINGS))
def test_chains_start_from_noised_samples_at_the_level_that_these_have(space: str) -> None:
    setting, settings = SETTINGS[space], settings_of(space, start_rho=0.7)
    clean = start_states(64)
    state = setting.kernel(settings).start(clean, draws(2))
    rng = np.random.default_rng(2)
    x = clean.numpy() + 0.7 * rng.standard_normal((64, 2))
    if setting.space == "vp-native":
        x = VP_PROCESS.at_rho(0.7).alpha * x
    classes = setting.second(NumpyDLG, settings).gibbs(x, rng)
    np.testing.assert_allclose(state.x.numpy(), x, rtol=1e-13)
    assert state.classes.tolist() == classes.tolist()


def test_a_class_is_the_first_whose_cumulative_probability_reaches_the_draw() -> None:
    probabilities = torch.tensor([[0.5, 0.25, 0.25]], dtype=torch.float64).expand(6, 3)
    u = torch.tensor([0.0, 0.5, 0.500001, 0.75, 0.99, 0.9999999999999999], dtype=torch.float64)
    assert inverse_cdf_classes(probabilities.log(), u).tolist() == [0, 0, 1, 1, 2, 2]


def test_a_draw_above_a_sum_rounded_below_one_is_the_last_class() -> None:
    probabilities = torch.tensor([[0.5, 0.4999]], dtype=torch.float64)
    assert inverse_cdf_classes(probabilities.log(), torch.tensor([0.99995]).double()).item() == 1


def test_the_lowest_of_equally_probable_classes_is_the_mode() -> None:
    posterior = ClassifierPosterior(lambda x: torch.zeros(len(x), 3), (2.0, 1.0, 0.5))
    settings = settings_of("ve", "argmax")
    kernel = Kernel(MIXTURE, posterior, process=EDM(), settings=settings)
    assert kernel.start(start_states(4), draws(0)).classes.tolist() == [0, 0, 0, 0]


def test_native_states_are_divided_by_alpha_before_they_are_denoised() -> None:
    setting = SETTINGS["vp-native"]
    kernel = setting.kernel(settings_of("vp-native"))
    classes = torch.tensor([0, 20, 40])
    x = start_states(3)
    alphas = [VP_PROCESS.at_rho(setting.rhos[j]).alpha for j in classes.tolist()]
    expected = x / torch.tensor(alphas, dtype=torch.float64)[:, None]
    torch.testing.assert_close(
        kernel.rescaled(ChainState(x, classes)), expected, rtol=1e-12, atol=0
    )
    torch.testing.assert_close(kernel.in_process_scale(ChainState(x, classes)), x)


def test_chains_keep_the_type_of_their_states() -> None:
    kernel = SETTINGS["vp-rescaled"].kernel(settings_of("vp-rescaled", "mala"))
    state = kernel.start(start_states(4).float(), draws(0))
    assert kernel.step(state, draws(1)).x.dtype == torch.float32


@pytest.mark.parametrize("space", ["ve", "vp-rescaled"])
def test_a_native_posterior_is_refused_for_rescaled_chains(space: str) -> None:
    posterior = MixturePosterior(MIXTURE, VE_RHOS, EDM())
    with pytest.raises(InvalidInput, match=r"settings\.space='.*reads native"):
        Kernel(MIXTURE, posterior, process=EDM(), settings=settings_of(space))


def test_a_process_that_scales_the_data_is_no_exploding_one() -> None:
    posterior = MixturePosterior(MIXTURE, VE_RHOS)
    with pytest.raises(InvalidInput, match="scales the data; allowed: vp-rescaled"):
        Kernel(MIXTURE, posterior, process=VP_PROCESS, settings=settings_of("ve"))


def test_a_class_outside_the_process_is_named() -> None:
    posterior = MixturePosterior(MIXTURE, (90.0, 70.0, 1.0))
    with pytest.raises(InvalidInput, match=r"posterior\.rhos\[0\]=90\.0"):
        Kernel(MIXTURE, posterior, process=EDM(), settings=settings_of("ve"))


def test_metropolis_needs_densities() -> None:
    posterior = ClassifierPosterior(lambda x: torch.zeros(len(x), 2), (2.0, 1.0))
    with pytest.raises(InvalidInput, match="gives no densities; allowed: none, noise-corrected"):
        Kernel(MIXTURE, posterior, process=EDM(), settings=settings_of("ve", "mala"))


@dataclass(frozen=True)
class AtZero:
    """Data that is one point: denoiser and posterior of any dimension, the flat case."""

    rhos: tuple[float, ...]
    is_native: bool = False

    def __call__(self, x: Tensor, at: StackedLevel, kind: Kind = "denoised") -> Tensor:
        return torch.zeros_like(x)

    def log_probabilities(self, x: Tensor, denoised: Tensor) -> Tensor:
        rhos = torch.tensor(self.rhos, dtype=torch.float64)
        squares = x.square().sum(dim=1)[:, None] / (2.0 * rhos**2)
        return torch.log_softmax(-squares - x.shape[1] * rhos.log(), dim=1)


def median_after(steps: int, *, adjust: str, eta: float, dimension: int = 3072) -> float:
    """Median level of flat chains that start at 0.5."""
    data = AtZero(class_grid(0.01, 50.0, 1000))
    settings = DLGSettings.from_dict({"space": "ve", "eta": eta, "num_skip": 1, "adjust": adjust})
    kernel = Kernel(data, data, process=EDM(), settings=settings)
    stream = draws(6)
    state = kernel.start(torch.zeros(6, dimension, dtype=torch.float64), stream)
    for _ in range(steps):
        state = kernel.step(state, stream)
    return float(kernel.rhos(state).median())


@pytest.mark.parametrize("steps", [10, 100])
def test_uncorrected_levels_climb_with_the_fourth_root_of_the_steps(steps: int) -> None:
    expected = (0.5**4 + steps * 0.8**2 / 2) ** 0.25
    found = median_after(steps, adjust="none", eta=0.8)
    assert found == pytest.approx(expected, rel=0.05), f"{found} after {steps} steps"


def test_noise_correction_stops_the_climb() -> None:
    found = median_after(400, adjust="noise-corrected", eta=0.8)
    assert found == pytest.approx(0.5, rel=0.1), found


def test_uncorrected_chains_cannot_stay_below_the_root_of_the_step() -> None:
    assert median_after(3, adjust="none", eta=4.0) > 2.0
    assert median_after(3, adjust="noise-corrected", eta=4.0) < 0.6
