"""Runs a tile of chains: a plain start, burn-in, windows in sequence, then denoising in one batch.

Every random number comes from the noise bank by stage, image and number, so all candidates see the
same, and the images of a block depend on nothing but the candidate and the bank.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from evaluators.bank_draws import BankDraws
from evaluators.banks import NoiseBank
from evaluators.chain_tiles import ChainTile
from evaluators.score import Task
from fewstep.errors import InvalidInput
from fewstep.mcmc.chain import ChainState, Kernel
from fewstep.mcmc.denoising import Denoising
from fewstep.mcmc.emission import run_window
from fewstep.mcmc.plan import START_GRID, START_SOLVER, ChainPlan
from fewstep.mcmc.posterior import NoiseLevelPosterior
from fewstep.mcmc.relative import relative_times
from fewstep.networks.guided_model import GuidedModel
from fewstep.process import VPDiscrete
from fewstep.running import sample
from fewstep.solvers import SOLVERS
from fewstep.solvers.options import OptionValue
from fewstep.spacing import grid
from space.candidate import Candidate


@dataclass(frozen=True, slots=True)
class ChainRunner:
    """What chains need beside the model. Keeps nothing between tiles: threads may share it."""

    task: Task
    process: VPDiscrete
    posterior: NoiseLevelPosterior

    def images(self, tile: ChainTile, model: GuidedModel) -> Tensor:
        """The block's images (micro_batch, C, H, W), the tile's first; others are padding."""
        candidate, size = tile.segment.candidate, self.task.numerics.micro_batch
        plan, bank = candidate.chain_plan, self.task.noise_bank(tile.segment.bank)
        assert plan is not None, "tiles of chains are made for candidates with chains"
        first = tile.block * size
        windows = math.ceil((tile.segment.stop - first) / plan.chains)
        labels = self._labels(bank, tile.block * plan.chains, plan.chains)
        kernel, emitted = self._emitted(candidate, plan, windows, bank, first, model, labels)
        x_hat = torch.cat([kernel.rescaled(state) for state in emitted])
        rhos = [rho for state in emitted for rho in kernel.rhos(state).tolist()]
        missing = size - len(rhos)
        x_hat = torch.cat([x_hat, x_hat.new_zeros(missing, *x_hat.shape[1:])])
        is_split = SOLVERS.get(candidate.solver).is_split
        denoiser = model.denoiser(labels.repeat(size // plan.chains), is_split=is_split)
        try:
            images = _denoising(self.process, candidate).run(
                denoiser,
                x_hat,
                rhos + rhos[-1:] * missing,
                BankDraws(bank, "term", first, size),
            )
        except InvalidInput:
            # A chain went where the solver has no program: the candidate's failure, not ours.
            images = torch.full_like(x_hat, torch.nan)
        return images.roll(first - tile.segment.start, dims=0)

    def _emitted(
        self,
        candidate: Candidate,
        plan: ChainPlan,
        windows: int,
        bank: NoiseBank,
        first: int,
        model: GuidedModel,
        labels: Tensor,
    ) -> tuple[Kernel, list[ChainState]]:
        """What the chains of a block emit in its first windows."""
        chains, device = plan.chains, torch.device(self.task.numerics.device)
        denoiser = model.denoiser(labels)
        settings = plan.settings(self.process.at(candidate.times[0]).rho)
        kernel = Kernel(
            denoiser, self.posterior, process=self.process, settings=settings, device=device
        )
        clean = sample(
            denoiser,
            torch.from_numpy(bank.noise(first, first + chains)).to(device),
            times=grid(START_GRID, self.process, plan.start_calls),
            process=self.process,
            solver=START_SOLVER,
        )
        state = kernel.start(clean, BankDraws(bank, "chain start", first, chains))
        burn_in = BankDraws(bank, "chain burn-in", first, chains)
        for _ in range(plan.burn_in):
            state = kernel.step(state, burn_in)
        emitted = []
        for window in range(windows):
            draws = BankDraws(bank, "chain window", first + window * chains, chains)
            found = run_window(kernel, state, draws)
            state = found.state
            emitted.append(found.emitted)
        return kernel, emitted

    def _labels(self, bank: NoiseBank, first_chain: int, chains: int) -> Tensor:
        """A class for each chain, kept for the whole block; zeros for a model without classes."""
        labels = bank.labels(first_chain, first_chain + chains)
        if labels is None:
            labels = np.zeros(chains, dtype=np.int64)
        return torch.from_numpy(labels).to(self.task.numerics.device)


def _denoising(process: VPDiscrete, candidate: Candidate) -> Denoising:
    return _kept_denoising(process, candidate.solver, candidate.times, candidate.options)


@lru_cache(maxsize=16)
def _kept_denoising(
    process: VPDiscrete,
    solver: str,
    times: tuple[float, ...],
    options: tuple[tuple[str, OptionValue], ...],
) -> Denoising:
    """Kept from tile to tile, as it keeps the programs of the levels it has met."""
    given: Mapping[str, object] = dict(options)
    schedule = relative_times(times, process)
    return Denoising(process=process, schedule=schedule, solver=solver, options=given)
