"""From chains at their own noise levels to samples: one program per level, all in one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fewstep.denoisers import Denoiser, StackedLevel
from fewstep.errors import InvalidInput
from fewstep.mcmc.draws import Draws
from fewstep.mcmc.relative import RelativeTimes
from fewstep.process.base import Process
from fewstep.program import Program, trace
from fewstep.running import run_stacked


@dataclass(frozen=True, slots=True)
class _Traced:
    """A program, and alpha of the level that it starts from (not always that of its first node)."""

    program: Program
    alpha: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Denoising:
    """A solver on a relative schedule, traced once for each level that chains start from.

    Attributes:
        process: The noise process.
        schedule: Levels relative to a chain's own; see `RelativeTimes.rebased` for chains at or
            below its last noisy level.
        solver: A registered name or alias.
        options: The solver's options by name, the same for all levels.
        tweedie_rho: Ratio of one more denoising of every sample; 0 is none.

    Raises:
        InvalidInput: the schedule ends noisy, so it gives no samples.
    """

    process: Process
    schedule: RelativeTimes
    solver: str
    options: Mapping[str, object] | None = None
    tweedie_rho: float = 0.0
    _traced: dict[float, _Traced] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.schedule.ends_clean:
            raise InvalidInput(
                "times: the schedule ends noisy; allowed: schedules whose last time is 0",
                field="times",
            )

    def program(self, rho: float) -> Program:
        """What is run on a chain whose noise-to-signal ratio is `rho`.

        Raises:
            InvalidInput: the solver has no program on the schedule, or takes none of the options.
        """
        return self._trace(rho).program

    def nfe(self, rho: float) -> int:
        """Denoiser calls of one sample, the last denoising not counted; equal for all ratios."""
        return self.program(rho).nfe

    def run(self, denoiser: Denoiser, x_hat: Tensor, rhos: Sequence[float], draws: Draws) -> Tensor:
        """Denoise states x / alpha, each from its own ratio; rows stay in their places.

        So a denoiser that holds one label per chain keeps working.

        Args:
            denoiser: called once per node, for all rows together.
            x_hat: states (C, ...) divided by alpha.
            rhos: the ratio of each.
            draws: gives the normal terms of stochastic solvers, in the order of the program.
        """
        traced = [self._trace(rho) for rho in rhos]
        programs = [one.program for one in traced]
        alphas = torch.tensor([one.alpha for one in traced], dtype=x_hat.dtype, device=x_hat.device)
        x = alphas.view((-1,) + (1,) * (x_hat.dim() - 1)) * x_hat
        terms = max(program.noise_terms for program in programs)
        noise = [draws.normal(tuple(x.shape)).to(x) for _ in range(terms)]
        samples = run_stacked(programs, [1] * len(programs), denoiser, x, noise=noise)
        return self._tweedie(denoiser, samples) if self.tweedie_rho > 0.0 else samples

    def _trace(self, rho: float) -> _Traced:
        if rho not in self._traced:
            times = self.schedule.rebased(rho, self.process)
            program = trace(times, process=self.process, solver=self.solver, options=self.options)
            self._traced[rho] = _Traced(program, self.process.at(times[0]).alpha)
        return self._traced[rho]

    def _tweedie(self, denoiser: Denoiser, samples: Tensor) -> Tensor:
        """The prediction for samples taken as states of a little noise: x + e^2 score(x, e)."""
        level = self.process.at_rho(self.tweedie_rho)
        network_time = self.process.network_time(level.t)
        at = StackedLevel.of(level, network_time, samples.shape[0], samples.device)
        return denoiser(level.alpha * samples, at)
