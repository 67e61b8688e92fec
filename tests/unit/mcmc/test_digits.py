"""The bundled model with its bundled noise-level network: a posterior that was trained."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from fewstep.mcmc import DLGSettings, karras_levels
from fewstep.mcmc.posterior import ClassifierPosterior, ResidualPosterior
from fewstep.mcmc.sampling import sample_with_dlg
from fewstep.networks.card import ModelCard
from fewstep.networks.denoising import balanced_labels, model_denoiser
from fewstep.networks.guides import noise_level_posterior
from fewstep.networks.models import resolve
from fewstep.running import sample
from tests.unit.mcmc.chains import draws

CHAINS = 20


@cache
def card() -> ModelCard:
    return resolve("zoo:digits")


@cache
def finished() -> Tensor:
    """Samples of the model, one per chain."""
    x = draws(0).normal((CHAINS, *card().image_shape)).float()
    denoiser = model_denoiser(card(), labels=balanced_labels(card(), CHAINS))
    times = (1.0, 0.8, 0.6, 0.4, 0.2, 0.05, 0.0)
    with torch.inference_mode():
        return sample(denoiser, x, times=times, process=card().make_process(), solver="heun")


@cache
def posterior() -> ClassifierPosterior:
    network, grid = noise_level_posterior(card())
    return ClassifierPosterior(network, tuple(grid.tolist()))


@pytest.mark.parametrize("rho", [0.2, 1.0, 5.0])
def test_the_trained_posterior_and_the_residual_tell_the_noise_that_was_added(rho: float) -> None:
    clean = finished()
    x = clean + rho * draws(1).normal(tuple(clean.shape)).float()
    rhos = posterior().rhos
    residual = ResidualPosterior(rhos, effective_dimension=clean[0].numel())
    with torch.inference_mode():
        for one in (posterior(), residual):
            found = np.array(rhos)[one.log_probabilities(x, clean).argmax(dim=1)]
            bias = float(np.log(found / rho).mean())
            assert abs(bias) < 0.1, (type(one).__name__, bias)


@pytest.mark.parametrize("estimate", ["trained", "residual"])
def test_chains_on_a_network_give_images_from_moderate_noise(estimate: str) -> None:
    residual = ResidualPosterior(posterior().rhos, effective_dimension=finished()[0].numel())
    result = sample_with_dlg(
        model_denoiser(card(), labels=balanced_labels(card(), CHAINS)),
        posterior() if estimate == "trained" else residual,
        settings=DLGSettings(eta=0.5, num_skip=2, space="vp-rescaled", burn_in=4, start_rho=1.0),
        times=karras_levels(6, 0.02),
        process=card().make_process(),
        solver="dpm-solver++-2m",
        initial=finished(),
        count=2 * CHAINS,
        draws=draws(2),
    )
    assert result.samples.shape == (2 * CHAINS, *card().image_shape)
    assert float(result.samples.abs().max()) <= 1.0 + 1e-5
    low, *_, high = result.rho_quantiles[-1]
    assert 0.3 < low < high < 6.0, result.rho_quantiles
    assert result.calls.plotted_per_sample == 2 + 5
