"""The chains of Denoising Langevin Gibbs: a Langevin move of x, then a Gibbs move of its level.

Ref: Kim, Ye 2023 (DLG). A chain's coordinates are x / alpha, where the marginal at ratio
rho is p0 convolved with N(0, rho^2), or, for native chains, x = alpha x0 + sigma eps itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fewstep.denoisers import Denoiser, StackedLevel
from fewstep.errors import InvalidInput
from fewstep.mcmc.draws import Draws
from fewstep.mcmc.levels import stack_levels
from fewstep.mcmc.posterior import LevelDensity, NoiseLevelPosterior
from fewstep.mcmc.settings import DLGSettings
from fewstep.process.base import Process

# Noise correction takes eta^2 / (4 sigma^2) off the variance eta, which is nothing left at
# eta = 4 sigma^2.
_MAX_CORRECTED_STEP = 3.9
# A class's ratio that the process cannot evaluate (clamped at its ends) is refused; float32 grids
# are within this of theirs.
_RATIO_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class ChainState:
    """C chains: states (C, ...) in the chain's coordinates, and the class of each, (C,)."""

    x: Tensor
    classes: Tensor


@dataclass(frozen=True, slots=True)
class _ClassTable:
    """Per class, float64 (M,): its level, and what the chain's coordinates make of it.

    A state is centre * x0 + scale * noise, and x = lift * state in process scale.
    """

    levels: StackedLevel
    rhos: Tensor
    centre: Tensor
    scale: Tensor
    lift: Tensor

    def column(self, name: str, classes: Tensor, like: Tensor) -> Tensor:
        """One number per chain, in the type of `like` and shaped to multiply it."""
        values: Tensor = getattr(self, name)[classes]
        return values.to(like.dtype).view((-1,) + (1,) * (like.dim() - 1))

    def at(self, classes: Tensor) -> StackedLevel:
        """The level of each chain."""
        rows = self.levels
        return StackedLevel(
            t=rows.t[classes],
            alpha=rows.alpha[classes],
            sigma=rows.sigma[classes],
            network_time=rows.network_time[classes],
        )


class Kernel:
    """One step of the chains, and their start.

    Args:
        denoiser: the model; answers `denoised` with one level per row.
        posterior: p(class | state) over the noise levels the chains move on.
        process: the noise process of the model.
        settings: how the chains move.
        device: where the chains live.

    Raises:
        InvalidInput: the coordinates of settings, process and posterior do not fit together, a
            class lies outside the process, or Metropolis adjustment has no densities.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        posterior: NoiseLevelPosterior,
        *,
        process: Process,
        settings: DLGSettings,
        device: torch.device | None = None,
    ) -> None:
        _check_space(settings, posterior, process)
        self.posterior = posterior
        self.settings = settings
        self._denoiser = denoiser
        self._process = process
        self._table = _class_table(posterior, process, settings, device or torch.device("cpu"))
        self._density = _density(posterior) if settings.adjust == "mala" else None

    def start(self, clean: Tensor, draws: Draws) -> ChainState:
        """Chains near finished samples: noise of ratio `start_rho` added, then classified.

        Args:
            clean: samples (C, ...), which also stand for the denoised prediction.
            draws: gives a normal term, and a uniform number per chain if levels are drawn.
        """
        x = clean + self.settings.start_rho * _normal_like(clean, draws)
        if self.settings.is_native:
            x = self._process.at_rho(self.settings.start_rho).alpha * x
        return ChainState(x, self._next_classes(x, clean, draws))

    def step(self, state: ChainState, draws: Draws) -> ChainState:
        """One Langevin move at the chain's level, then its next level, given the moved state."""
        z = _normal_like(state.x, draws)
        denoised, score = self.score(state)
        eta, variance = self._step_size(state)
        x = state.x + 0.5 * eta * score + variance.sqrt() * z
        if self._density is not None:
            x, denoised = self._accepted(
                state, score, ChainState(x, state.classes), denoised, draws
            )
        return ChainState(x, self._next_classes(x, denoised, draws))

    def score(self, state: ChainState) -> tuple[Tensor, Tensor]:
        """The denoised prediction, and the gradient of log p(state | class) that follows from it.

        That is (denoised - x / alpha) / rho^2 for x / alpha, (alpha denoised - x) / sigma^2 for x.
        """
        denoised = self._denoiser(self.in_process_scale(state), self._table.at(state.classes))
        centre = self._table.column("centre", state.classes, state.x)
        scale = self._table.column("scale", state.classes, state.x)
        return denoised, (centre * denoised - state.x) / scale**2

    def in_process_scale(self, state: ChainState) -> Tensor:
        """The states as denoisers and programs take them."""
        return self._table.column("lift", state.classes, state.x) * state.x

    def rescaled(self, state: ChainState) -> Tensor:
        """The states divided by alpha, whatever the chain's coordinates."""
        return state.x / self._table.column("centre", state.classes, state.x)

    def rhos(self, state: ChainState) -> Tensor:
        """Noise-to-signal ratio of each chain, float64, shape (C,)."""
        return self._table.rhos[state.classes]

    def _step_size(self, state: ChainState) -> tuple[Tensor, Tensor]:
        """Eta of the drift and variance of the noise, for each chain."""
        level_variance = self._table.column("scale", state.classes, state.x) ** 2
        factor = level_variance if self.settings.step_rule == "scaled" else 1.0
        eta = torch.ones_like(level_variance) * self.settings.eta * factor
        if self.settings.adjust != "noise-corrected":
            return eta, eta
        # Where the data has no variance, a step takes v to v (1 - eta / 2v)^2 + noise variance,
        # which is v again with this one.
        eta = torch.minimum(eta, _MAX_CORRECTED_STEP * level_variance)
        return eta, eta - eta**2 / (4.0 * level_variance)

    def _accepted(
        self,
        state: ChainState,
        score: Tensor,
        proposed: ChainState,
        denoised: Tensor,
        draws: Draws,
    ) -> tuple[Tensor, Tensor]:
        """The proposal, or the state itself (MALA). Ref: Roberts, Tweedie 1996."""
        assert self._density is not None
        denoised_there, score_there = self.score(proposed)
        eta, _ = self._step_size(state)
        moved, classes = proposed.x - state.x, state.classes
        forth = (moved - 0.5 * eta * score).square() / (2.0 * eta)
        back = (moved + 0.5 * eta * score_there).square() / (2.0 * eta)
        density = self._density.log_density
        ratio = density(proposed.x, classes) - density(state.x, classes)
        ratio = ratio + (forth - back).double().flatten(1).sum(dim=1)
        u = draws.uniform(len(classes)).to(ratio.device)
        is_taken = (u.log() < ratio).view((-1,) + (1,) * (state.x.dim() - 1))
        return (
            torch.where(is_taken, proposed.x, state.x),
            torch.where(is_taken, denoised_there, denoised),
        )

    def _next_classes(self, x: Tensor, denoised: Tensor, draws: Draws) -> Tensor:
        """A draw from p(class | x), or its mode; the lowest class where several are the mode."""
        log_probabilities = self.posterior.log_probabilities(x, denoised)
        if self.settings.gibbs == "argmax":
            return log_probabilities.argmax(dim=1)
        u = draws.uniform(x.shape[0]).to(x.device)
        return inverse_cdf_classes(log_probabilities, u)


def inverse_cdf_classes(log_probabilities: Tensor, u: Tensor) -> Tensor:
    """The first class whose cumulative probability reaches u, for each row."""
    cumulative = log_probabilities.exp().cumsum(dim=1)
    found = torch.searchsorted(cumulative, u[:, None])[:, 0]
    return found.clamp(max=log_probabilities.shape[1] - 1)


def _normal_like(x: Tensor, draws: Draws) -> Tensor:
    return draws.normal(tuple(x.shape)).to(x)


def _class_table(
    posterior: NoiseLevelPosterior,
    process: Process,
    settings: DLGSettings,
    device: torch.device,
) -> _ClassTable:
    levels = [process.at_rho(rho) for rho in posterior.rhos]
    for j, (rho, level) in enumerate(zip(posterior.rhos, levels, strict=True)):
        if abs(level.rho / rho - 1.0) > _RATIO_TOLERANCE:
            raise InvalidInput(
                f"posterior.rhos[{j}]={rho!r}: outside the process; allowed: "
                f"{process.at(process.t_min).rho:g} to {process.at(process.t_max).rho:g}",
                field=f"posterior.rhos[{j}]",
            )

    rows = stack_levels(levels, process, device)
    rhos = rows.sigma / rows.alpha
    ones = torch.ones_like(rhos)
    if settings.is_native:
        return _ClassTable(levels=rows, rhos=rhos, centre=rows.alpha, scale=rows.sigma, lift=ones)
    return _ClassTable(levels=rows, rhos=rhos, centre=ones, scale=rhos, lift=rows.alpha)


def _check_space(settings: DLGSettings, posterior: NoiseLevelPosterior, process: Process) -> None:
    if posterior.is_native != settings.is_native:
        kind = "native" if posterior.is_native else "rescaled"
        raise InvalidInput(
            f"settings.space={settings.space!r}: the posterior reads {kind} states; allowed: "
            f"{'vp-native' if posterior.is_native else 've, vp-rescaled'}",
            field="settings.space",
        )
    if settings.space == "ve" and process.at(process.t_max).alpha != 1.0:
        raise InvalidInput(
            f"settings.space='ve': the process {process.family} scales the data; allowed: "
            "vp-rescaled, vp-native",
            field="settings.space",
        )


def _density(posterior: NoiseLevelPosterior) -> LevelDensity:
    if not isinstance(posterior, LevelDensity):
        raise InvalidInput(
            "settings.adjust='mala': the posterior gives no densities; allowed: none, "
            "noise-corrected",
            field="settings.adjust",
        )
    return posterior
