"""The cells of the comparison with and without chains, and how one is measured."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from evaluators.features import load_extractor, to_uint8
from evaluators.frechet import frechet_distance
from evaluators.references import load_reference
from fewstep.denoisers import Denoiser, StackedLevel, class_conditional
from fewstep.mcmc.adaptive import denoise_adaptively
from fewstep.mcmc.chain import Kernel
from fewstep.mcmc.draws import GeneratorDraws
from fewstep.mcmc.emission import run_window
from fewstep.mcmc.integrators import INTEGRATORS
from fewstep.mcmc.posterior import ClassifierPosterior
from fewstep.mcmc.sampling import sample_with_dlg
from fewstep.mcmc.settings import DLGSettings
from fewstep.networks.card import ModelCard
from fewstep.networks.guides import noise_level_posterior
from fewstep.networks.models import load_network
from fewstep.program import trace
from fewstep.running import run
from fewstep.running import sample as run_solver
from fewstep.spacing import grid

ADAPTIVE = "RK45"
TOLERANCES = {10: 1e-1, 20: 1e-2, 50: 1e-3, 100: 1e-4}  # the adaptive one has no calls to set
CHAIN_SHARE = 0.25  # of a budget, for chain steps
BURN_IN = 20
START_CALLS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One integrator at one budget of calls per sample, with chains or without."""

    integrator: str
    budget: int
    has_chains: bool
    eta: float
    num_skip: int

    @property
    def name(self) -> str:
        """Unique within a study."""
        how = f"DLG eta {self.eta:g} skip {self.num_skip}" if self.has_chains else "plain"
        return f"{self.integrator}|{self.budget}|{how}"

    def to_dict(self) -> dict[str, object]:
        """As plain JSON values."""
        return asdict(self)


def cells(budget: int, *, eta: float) -> Iterator[Cell]:
    """All integrators at a budget, without chains and with them."""
    for name in [*INTEGRATORS.names(), ADAPTIVE]:
        for has_chains in (False, True):
            skip = _skip(name, budget) if has_chains else 0
            yield Cell(
                integrator=name, budget=budget, has_chains=has_chains, eta=eta, num_skip=skip
            )


def _skip(name: str, budget: int) -> int:
    """Chain steps of a budget; what is left must be odd for the Heun pair, which costs 2N - 3."""
    skip = max(2, round(CHAIN_SHARE * budget))
    return skip + (name.startswith("KAR") and (budget - skip) % 2 == 0)


class Sampler:
    """A loaded model without labels, its noise-level classifier, and the judge of its images."""

    def __init__(self, card: ModelCard, *, num_samples: int, num_chains: int) -> None:
        self._card, self._count, self._chains = card, num_samples, num_chains
        self._process = card.make_process()
        self._network = load_network(card)
        classifier, rhos = noise_level_posterior(card)
        self._posterior = ClassifierPosterior(classifier, tuple(rhos.tolist()))
        self._extractor = load_extractor(card.extractor)
        self._reference = load_reference(card.reference_path()).gaussian
        self._rho_max = self._process.at(self._process.t_max).rho
        self._rho_min = self._process.at(self._process.t_min).rho

    def identity(self) -> dict[str, object]:
        """What results belong to."""
        guides = {name: guide["sha256"] for name, guide in self._card.guides.items()}
        return {
            "model": self._card.name,
            "weights_sha256": self._card.weights_sha256,
            "guides": guides,
            "num_samples": self._count,
            "num_chains": self._chains,
            "burn_in": BURN_IN,
            "start_calls": START_CALLS,
        }

    @torch.no_grad()
    def measure(self, cell: Cell, rng: np.random.Generator) -> dict[str, float]:
        """Distance of the samples of a cell, and the calls they took."""
        draws = GeneratorDraws(rng)
        if cell.has_chains:
            images, plotted, all_in = self._with_chains(cell, draws)
        else:
            images, plotted = self._plain(cell, draws)
            all_in = plotted
        pixels = to_uint8(images.nan_to_num())
        features = torch.cat([self._extractor.features(part) for part in pixels.split(256)])
        predicted = torch.cat([self._extractor.logits(part) for part in pixels.split(256)])
        labels = predicted.argmax(1).view(-1, self._chains)
        figures = {
            "fid": frechet_distance(features.numpy(), self._reference),
            "plotted": plotted,
            "all_in": all_in,
        }
        if cell.has_chains:
            figures["label_switches"] = float((labels[1:] != labels[:-1]).double().mean())
        return figures

    def _plain(self, cell: Cell, draws: GeneratorDraws) -> tuple[Tensor, float]:
        """From noise at the process's largest ratio, in batches as wide as there are chains."""
        parts, calls = [], 0
        shape = (self._chains, *self._card.image_shape)
        for _ in range(self._count // self._chains):
            x_hat = self._rho_max * draws.normal(shape).float()
            if cell.integrator == ADAPTIVE:
                part, calls = self._adaptive(cell, x_hat, [self._rho_max] * self._chains)
            else:
                part, calls = self._fixed(cell, x_hat, draws)
            parts.append(part)
        return torch.cat(parts), float(calls)

    def _fixed(self, cell: Cell, x_hat: Tensor, draws: GeneratorDraws) -> tuple[Tensor, int]:
        integrator = INTEGRATORS.get(cell.integrator)
        count = _parameter(cell.integrator, cell.budget)
        schedule = integrator.levels(count, self._rho_min)
        times = schedule.rebased(self._rho_max, self._process)
        program = trace(
            times,
            process=self._process,
            solver=integrator.solver,
            options=integrator.options(count),
        )
        noise = [draws.normal(tuple(x_hat.shape)).float() for _ in range(program.noise_terms)]
        alpha = self._process.at(times[0]).alpha
        samples = run(program, self._denoiser(len(x_hat)), alpha * x_hat, noise=noise)
        return samples, program.nfe

    def _with_chains(self, cell: Cell, draws: GeneratorDraws) -> tuple[Tensor, float, float]:
        settings = DLGSettings(
            eta=cell.eta,
            num_skip=cell.num_skip,
            space="vp-rescaled",
            burn_in=BURN_IN,
            start_rho=math.sqrt(cell.eta),
        )
        initial = self._initial(draws)
        if cell.integrator == ADAPTIVE:
            return self._adaptive_chains(cell, settings, initial, draws)
        integrator = INTEGRATORS.get(cell.integrator)
        count = _parameter(cell.integrator, cell.budget - cell.num_skip)
        result = sample_with_dlg(
            self._denoiser(self._chains),
            self._posterior,
            settings=settings,
            times=integrator.levels(count, self._rho_min),
            process=self._process,
            solver=integrator.solver,
            options=integrator.options(count),
            initial=initial,
            count=self._count,
            draws=draws,
            initialisation_calls=START_CALLS,
        )
        calls = result.calls
        return result.samples, float(calls.plotted_per_sample), calls.all_in_per_sample

    def _adaptive_chains(
        self, cell: Cell, settings: DLGSettings, initial: Tensor, draws: GeneratorDraws
    ) -> tuple[Tensor, float, float]:
        kernel = Kernel(
            self._denoiser(self._chains), self._posterior, process=self._process, settings=settings
        )
        state = kernel.start(initial, draws)
        for _ in range(settings.burn_in):
            state = kernel.step(state, draws)
        parts, calls = [], []
        windows = self._count // self._chains
        for _ in range(windows):
            window = run_window(kernel, state, draws)
            state, emitted = window.state, window.emitted
            rhos = kernel.rhos(emitted).tolist()
            part, nfe = self._adaptive(cell, kernel.rescaled(emitted), rhos)
            parts.append(part)
            calls.append(cell.num_skip + nfe)
        plotted = sum(calls) / windows
        return torch.cat(parts), plotted, plotted + (START_CALLS + BURN_IN) / windows

    def _adaptive(self, cell: Cell, x_hat: Tensor, rhos: list[float]) -> tuple[Tensor, int]:
        """The adaptive flow down to the least level, then its denoised prediction."""
        tolerance = TOLERANCES[cell.budget]
        flow = denoise_adaptively(
            self._denoiser(len(x_hat)),
            x_hat,
            rhos,
            process=self._process,
            rho_min=self._rho_min,
            rtol=tolerance,
            atol=tolerance,
        )
        level = self._process.at_rho(self._rho_min)
        at = StackedLevel.of(level, self._process.network_time(level.t), len(x_hat), x_hat.device)
        return self._denoiser(len(x_hat))(level.alpha * flow.x, at), flow.calls + 1

    def _initial(self, draws: GeneratorDraws) -> Tensor:
        """Clean samples that the chains start from."""
        x = draws.normal((self._chains, *self._card.image_shape)).float()
        return run_solver(
            self._denoiser(self._chains),
            x,
            times=grid("log-snr", self._process, START_CALLS),
            process=self._process,
            solver="dpm-solver++-2m",
        )

    def _denoiser(self, rows: int) -> Denoiser:
        assert self._card.null_label is not None  # the models with chains have one
        return class_conditional(self._network, labels=torch.full((rows,), self._card.null_label))


def _parameter(name: str, calls: int) -> int:
    """The parameter N of an integrator that costs at most `calls`."""
    return (calls + 3) // 2 if name.startswith("KAR") else calls
