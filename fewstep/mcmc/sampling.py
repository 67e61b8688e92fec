"""Samples by Denoising Langevin Gibbs: start the chains, burn in, emit, denoise, and count."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fewstep.denoisers import Denoiser
from fewstep.errors import InvalidInput
from fewstep.mcmc.chain import ChainState, Kernel
from fewstep.mcmc.denoising import Denoising
from fewstep.mcmc.draws import Draws
from fewstep.mcmc.emission import run_window
from fewstep.mcmc.posterior import NoiseLevelPosterior
from fewstep.mcmc.relative import RelativeTimes, relative_times
from fewstep.mcmc.settings import DLGSettings
from fewstep.process.base import Process

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, slots=True, kw_only=True)
class DLGCalls:
    """Denoiser calls of a whole run, over all chains, and posterior calls beside them.

    Attributes:
        chains: How many chains ran.
        samples: How many samples they gave.
        initialisation: Calls that made the initial samples, as the caller gave them.
        burn_in: Calls before the first window.
        langevin: Calls of the windows' chain steps.
        denoising: Calls from emitted states to samples.
        tweedie: Calls of the last denoising.
        posterior: Evaluations of the noise-level posterior; no denoiser calls.
        plotted_per_sample: Calls as published plots count them, of one window: chain steps and
            denoising.
    """

    chains: int
    samples: int
    initialisation: int
    burn_in: int
    langevin: int
    denoising: int
    tweedie: int
    posterior: int
    plotted_per_sample: int

    @property
    def total(self) -> int:
        """Every denoiser call."""
        chain_calls = self.initialisation + self.burn_in + self.langevin
        return chain_calls + self.denoising + self.tweedie

    @property
    def all_in_per_sample(self) -> float:
        """Every denoiser call, shared out over the samples."""
        return self.total / self.samples


@dataclass(frozen=True, slots=True, kw_only=True)
class DLGResult:
    """Samples and what they took.

    Attributes:
        samples: (count, ...), window by window; sample i is of chain i modulo the chains.
        calls: Denoiser and posterior calls.
        rho_quantiles: Per window the chains' ratios at its end, at `QUANTILES`; a median that
            climbs by more than 30 % says that the chains should be restarted or corrected.
        state: Where the chains ended, to go on from.
    """

    samples: Tensor
    calls: DLGCalls
    rho_quantiles: tuple[tuple[float, ...], ...]
    state: ChainState


@torch.no_grad()
def sample_with_dlg(
    denoiser: Denoiser,
    posterior: NoiseLevelPosterior,
    *,
    settings: DLGSettings,
    times: Sequence[float] | RelativeTimes,
    process: Process,
    solver: str,
    options: Mapping[str, object] | None = None,
    initial: Tensor,
    count: int,
    draws: Draws,
    initialisation_calls: int = 0,
) -> DLGResult:
    """Draw `count` samples from chains that start at `initial`.

    Ref: Kim, Ye 2023 (DLG); burn-in and windows as in the published code.

    Args:
        denoiser: the model; asked for one level per row, rows are chains.
        posterior: p(class | state) over the chains' noise levels.
        settings: how chains move, what they emit.
        times: a nominal schedule whose first time is the nominal start, or one that is relative
            already. Every chain runs it from its own level.
        process: the noise process.
        solver: a registered name or alias, for the way from a chain's level to a sample.
        options: the solver's options by name.
        initial: clean samples (C, ...), one per chain; float64 chains are exact to rounding.
        count: how many samples; every window gives one per chain, of the last one some are left.
        draws: the random numbers.
        initialisation_calls: denoiser calls that made `initial`, per chain, for the account.

    Raises:
        InvalidInput: settings, posterior and process do not fit together, or the schedule ends
            noisy or is none for the solver.
    """
    if count < 1:
        raise InvalidInput(f"count={count}: samples; allowed: 1 and more", field="count")
    kernel = Kernel(denoiser, posterior, process=process, settings=settings, device=initial.device)
    denoising = Denoising(
        process=process,
        schedule=times if isinstance(times, RelativeTimes) else relative_times(times, process),
        solver=solver,
        options=options,
        tweedie_rho=settings.tweedie_rho,
    )
    state = _burnt_in(kernel, initial, draws)
    samples, quantiles = [], []
    for _ in range(math.ceil(count / len(initial))):
        window = run_window(kernel, state, draws)
        state, emitted = window.state, window.emitted
        rhos = kernel.rhos(emitted).tolist()
        samples.append(denoising.run(denoiser, kernel.rescaled(emitted), rhos, draws))
        quantiles.append(_quantiles(kernel.rhos(state)))
    return DLGResult(
        samples=torch.cat(samples)[:count],
        calls=_count_calls(
            settings, denoising.nfe(rhos[0]), len(initial), count, initialisation_calls
        ),
        rho_quantiles=tuple(quantiles),
        state=state,
    )


def _burnt_in(kernel: Kernel, initial: Tensor, draws: Draws) -> ChainState:
    state = kernel.start(initial, draws)
    for _ in range(kernel.settings.burn_in):
        state = kernel.step(state, draws)
    return state


def _count_calls(
    settings: DLGSettings, nfe: int, chains: int, count: int, initialisation_calls: int
) -> DLGCalls:
    windows = math.ceil(count / chains)
    langevin = settings.num_skip * settings.calls_per_step
    return DLGCalls(
        chains=chains,
        samples=count,
        initialisation=chains * initialisation_calls,
        burn_in=chains * settings.burn_in * settings.calls_per_step,
        langevin=chains * windows * langevin,
        denoising=chains * windows * nfe,
        tweedie=chains * windows if settings.tweedie_rho > 0.0 else 0,
        posterior=chains * (1 + settings.burn_in + windows * settings.num_skip),
        plotted_per_sample=langevin + nfe,
    )


def _quantiles(rhos: Tensor) -> tuple[float, ...]:
    at = torch.tensor(QUANTILES, dtype=rhos.dtype, device=rhos.device)
    return tuple(torch.quantile(rhos, at).tolist())
