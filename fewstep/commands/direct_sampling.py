"""Run a sampling plan: images, and what they took. Brings torch; imported by `sample` alone."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fewstep.commands.guided_denoiser import PlannedModel
from fewstep.commands.sampling_plan import Chains, SamplingPlan, named_as_dlg
from fewstep.commands.seeded_noise import Stream, generator, image_noise
from fewstep.mcmc.draws import GeneratorDraws
from fewstep.mcmc.plan import START_GRID, START_SOLVER
from fewstep.mcmc.posterior import ClassifierPosterior
from fewstep.mcmc.sampling import DLGResult, sample_with_dlg
from fewstep.networks.guides import noise_level_posterior
from fewstep.program import trace
from fewstep.running import run
from fewstep.schedule_architecture import ArchitectureSection
from fewstep.spacing import grid

BATCH = 64
_ACCOUNTS = ("initialisation", "burn_in", "langevin", "denoising", "tweedie", "posterior")


@dataclass(frozen=True, slots=True)
class Drawn:
    """Images (num, C, H, W) as bytes, and what there is to say about them as plain JSON values."""

    images: Tensor
    report: Mapping[str, Any]


@torch.no_grad()
def draw(plan: SamplingPlan, *, num: int, seed: int) -> Drawn:
    """Sample images; the same plan and seed give the same, and more of them only add.

    Chains of denoising MCMC are the exception: there a longer run adds, with as many chains.

    Raises:
        InvalidInput: the plan's condition file or guide is not usable.
    """
    model = PlannedModel(plan, seed)
    model.denoisers(range(1))  # what cannot be used is refused before time is taken
    started = time.perf_counter()
    dlg = None
    if plan.chains is None:
        samples = torch.cat(_from_noise(model, num))
    else:
        results = _with_chains(model, plan.chains, num)
        samples = torch.cat([result.samples for result in results])
        dlg = _account(plan.chains, results, num)
    seconds = time.perf_counter() - started
    report = {
        **_describe(plan),
        "passes": model.passes.rows / num,
        "gradients": model.gradients.rows / num,
        "diverged": int((~samples.isfinite()).flatten(1).any(dim=1).sum()),
        "seconds": {
            "total": seconds,
            "network": model.passes.seconds,
            "gradient": model.gradients.seconds,
        },
        "dlg": dlg,
    }
    # [-1, 1] to 0..255, rounded to nearest; what diverged is black.
    pixels = ((samples.nan_to_num(-1.0) + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return Drawn(pixels, report)


def _from_noise(model: PlannedModel, num: int) -> list[Tensor]:
    plan, parts = model.plan, []
    for first in range(0, num, BATCH):
        images = range(first, min(first + BATCH, num))
        shape = plan.card.image_shape
        x = image_noise(model.seed, Stream.START, images, shape)[0]
        noise = image_noise(
            model.seed, Stream.SOLVER, images, shape, terms=plan.program.noise_terms
        )
        parts.append(run(plan.program, model.denoisers(images), x, noise=list(noise)))
    return parts


def _with_chains(model: PlannedModel, chains: Chains, num: int) -> list[DLGResult]:
    """Denoising MCMC, started anew whenever the chains have given their windows."""
    size = num if chains.windows is None else chains.count * chains.windows
    firsts = range(0, num, size)
    return [_run_chains(model, chains, i, min(size, num - firsts[i])) for i in range(len(firsts))]


def _run_chains(model: PlannedModel, chains: Chains, restart: int, num: int) -> DLGResult:
    """One start of the chains, from clean images of the seed's start noise."""
    plan, count = model.plan, chains.count
    network, rhos = noise_level_posterior(plan.card)
    (denoiser,) = model.denoisers(range(count))
    x = image_noise(
        model.seed,
        Stream.START,
        range(restart * count, (restart + 1) * count),
        plan.card.image_shape,
    )[0]
    times = grid(START_GRID, plan.process, chains.start_calls)
    start = trace(times, process=plan.process, solver=START_SOLVER)
    with named_as_dlg():
        return sample_with_dlg(
            denoiser,
            ClassifierPosterior(network, tuple(rhos.tolist())),
            settings=chains.settings,
            times=plan.times if chains.levels is None else chains.levels,
            process=plan.process,
            solver=plan.solver.name,
            options=plan.options,
            initial=run(start, denoiser, x),
            count=num,
            draws=GeneratorDraws(generator(model.seed, Stream.CHAINS, restart)),
            initialisation_calls=chains.start_calls,
        )


def _describe(plan: SamplingPlan) -> dict[str, Any]:
    """What was known before; calls are of one image, on its way from noise or from a chain."""
    return {
        "model": plan.card.name,
        "solver": plan.solver.name,
        "options": dict(plan.options),
        "steps": len(plan.times) - 1,
        "times": plan.indices,
        "guidance": plan.guidance,
        "guidance_scale": plan.scale,
        "nfe": plan.program.nfe,
        "calls": plan.program.calls,
        "condition": plan.program.condition,
        "architecture": None if plan.architecture is None else _networks(plan.architecture),
    }


def _networks(section: ArchitectureSection) -> dict[str, Any]:
    """What of the full network runs; the whole of it stands in the document."""
    return {
        "configurations": len(section.configurations),
        "of_step": list(section.of_step),
        "repair": section.repair,
        "macs": section.macs,
        "full_macs": section.full_macs,
    }


def _account(chains: Chains, results: Sequence[DLGResult], num: int) -> dict[str, Any]:
    """Calls of all starts together."""
    calls = [result.calls for result in results]
    quantiles = [row for result in results for row in result.rho_quantiles]
    return {
        "settings": chains.settings.to_dict(),
        "chains": chains.count,
        "calls": {name: sum(getattr(each, name) for each in calls) for name in _ACCOUNTS},
        "plotted_per_image": calls[0].plotted_per_sample,
        "all_in_per_image": sum(each.total for each in calls) / num,
        "median_rho": [row[len(row) // 2] for row in quantiles],
    }
