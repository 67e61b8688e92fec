"""Noise-level posteriors: exact ones are exact, estimates find the noise, networks are checked."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from fewstep.errors import InvalidInput
from fewstep.mcmc import DLGSettings
from fewstep.mcmc.posterior import (
    ClassifierPosterior,
    MedianDeviationPosterior,
    MixturePosterior,
    ResidualPosterior,
    median_absolute_deviation,
    residual_estimate,
)
from tests.mixture2d import MIXTURE
from tests.unit.mcmc.chains import SETTINGS, VE_RHOS, VP_PROCESS, VP_RHOS
from tests.unit.mcmc.numpy_dlg import NumpyDLG


def states(count: int = 16) -> Tensor:
    """Somewhere between data and noise."""
    return 2.0 * torch.from_numpy(np.random.default_rng(3).standard_normal((count, 2)))


@pytest.mark.parametrize("space", sorted(SETTINGS))
def test_the_mixture_posterior_is_bayes_rule(space: str) -> None:
    setting = SETTINGS[space]
    second = setting.second(NumpyDLG, DLGSettings(eta=0.1, num_skip=1, space=setting.space))
    x = states()
    found = setting.posterior.log_probabilities(x, x).exp().numpy()
    np.testing.assert_allclose(found, second.probabilities(x.numpy()), atol=1e-13)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-13)


def test_native_and_rescaled_densities_differ_by_the_jacobian() -> None:
    native = MixturePosterior(MIXTURE, VP_RHOS, VP_PROCESS)
    rescaled = MixturePosterior(MIXTURE, VP_RHOS)
    classes = torch.arange(16)
    levels = [VP_PROCESS.at_rho(rho) for rho in VP_RHOS[:16]]
    alphas = torch.tensor([level.alpha for level in levels], dtype=torch.float64)
    x_hat = states()
    expected = native.log_density(alphas[:, None] * x_hat, classes) + 2.0 * alphas.log()
    torch.testing.assert_close(
        rescaled.log_density(x_hat, classes), expected, rtol=1e-12, atol=1e-12
    )


def test_a_network_gives_probabilities_over_its_classes() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)], [0.0, 0.0]])
    posterior = ClassifierPosterior(lambda x: logits, (2.0, 1.0))
    found = posterior.log_probabilities(torch.zeros(2, 2), torch.zeros(2, 2)).exp()
    expected = torch.tensor([[0.25, 0.75], [0.5, 0.5]], dtype=torch.float64)
    torch.testing.assert_close(found, expected, atol=1e-7, rtol=0.0)


def test_a_network_of_another_number_of_classes_is_refused() -> None:
    posterior = ClassifierPosterior(lambda x: torch.zeros(2, 3), (2.0, 1.0))
    with pytest.raises(InvalidInput, match=r"\(2, 3\).*\(2, 2\)"):
        posterior.log_probabilities(torch.zeros(2, 2), torch.zeros(2, 2))


def test_a_network_reads_no_native_states() -> None:
    with pytest.raises(InvalidInput, match="rescaled"):
        ClassifierPosterior(lambda x: x, (2.0, 1.0), is_native=True)


@pytest.mark.parametrize("rhos", [(1.0,), (1.0, 1.0), (1.0, 2.0), (1.0, 0.0), (math.inf, 1.0)])
def test_what_are_no_classes_is_refused(rhos: tuple[float, ...]) -> None:
    with pytest.raises(InvalidInput, match="strictly decreasing"):
        MixturePosterior(MIXTURE, rhos)


def test_the_residual_tells_the_level_where_the_data_is_flat() -> None:
    rng = np.random.default_rng(4)
    clean = torch.from_numpy(rng.standard_normal((64, 500)))
    rho = torch.linspace(0.1, 3.0, 64, dtype=torch.float64)[:, None]
    x = clean + rho * torch.from_numpy(rng.standard_normal((64, 500)))
    found = residual_estimate(x, clean, effective_dimension=500.0)
    assert float((found / rho[:, 0]).log().abs().max()) < 0.12  # sd 1 / sqrt(2 d) = 0.032


def test_the_median_deviation_tells_the_level_of_smooth_images() -> None:
    rng = np.random.default_rng(4)
    ramp = torch.linspace(-1.0, 1.0, 64).double()
    images = (ramp[:, None] * ramp).expand(20, 1, 64, 64)
    rho = torch.linspace(0.1, 2.0, 20, dtype=torch.float64).view(-1, 1, 1, 1)
    x = images + rho * torch.from_numpy(rng.standard_normal((20, 1, 64, 64)))
    found = median_absolute_deviation(x)
    assert float((found / rho.flatten()).log().abs().max()) < 0.2, found / rho.flatten()


def test_the_median_deviation_needs_images() -> None:
    with pytest.raises(InvalidInput, match="images"):
        median_absolute_deviation(torch.zeros(4, 2))


def test_estimates_put_all_weight_on_the_class_nearest_in_ratio() -> None:
    denoised = torch.zeros(3, 4, dtype=torch.float64)
    x = torch.tensor([[1.0], [0.35], [9.0]], dtype=torch.float64).expand(3, 4)
    posterior = ResidualPosterior((4.0, 1.0, 0.25), effective_dimension=4.0)
    found = posterior.log_probabilities(x, denoised).exp()
    expected = torch.tensor([[0, 1, 0], [0, 0, 1], [1, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(found, expected)


def test_the_image_estimate_is_a_posterior_too() -> None:
    rng = np.random.default_rng(5)
    x = 0.5 * torch.from_numpy(rng.standard_normal((4, 1, 64, 64)))
    posterior = MedianDeviationPosterior((4.0, 0.5, 0.05))
    assert posterior.log_probabilities(x, x).argmax(dim=1).tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan])
def test_a_dimension_that_is_not_positive_is_refused(value: float) -> None:
    with pytest.raises(InvalidInput, match="effective_dimension"):
        ResidualPosterior(VE_RHOS, effective_dimension=value)
