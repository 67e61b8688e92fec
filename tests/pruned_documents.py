"""Schedules of the bundled model whose steps run pruned networks, and their repaired tensors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fewstep.denoisers import Denoiser
from fewstep.networks.denoising import balanced_labels, guided_model
from fewstep.networks.models import load_network, resolve
from fewstep.networks.pruning.architecture import Architecture, Repair
from fewstep.networks.pruning.assembling import repairs_of
from fewstep.networks.pruning.blocks import adm_blocks
from fewstep.networks.pruning.calibration import Calibration, calibrate
from fewstep.networks.pruning.calibration_plan import CalibrationPlan
from fewstep.networks.pruning.configuration import BlockChoice, NetworkConfiguration
from fewstep.networks.pruning.documents import architecture_section
from fewstep.networks.pruning.repair import save_repair
from fewstep.schedule import ModelSection, Schedule

MODEL = "zoo:digits"
CARD = resolve(MODEL)
CONFIG = CARD.unet_config()
BLOCKS = adm_blocks(CONFIG)
PROCESS = CARD.make_process()
TIMES = (*(PROCESS.time_of(index) for index in (657, 340, 60)), 0.0)
PLAN = CalibrationPlan(solver="ddim", times=TIMES, num_images=16)

_RESIDUAL = [block.name for block in BLOCKS if block.kind == "residual"]
FULL = NetworkConfiguration()
THIN = NetworkConfiguration.of(
    {
        _RESIDUAL[1]: BlockChoice("groups", (0, 1, 2, 4, 6, 7)),
        _RESIDUAL[3]: BlockChoice("removed"),
    }
)
REUSING = NetworkConfiguration.of({_RESIDUAL[2]: BlockChoice("reused")})


def of_steps(*configurations: NetworkConfiguration, repair: Repair = "none") -> Architecture:
    """An architecture; with a repair it is fitted on `PLAN`."""
    calibration = None if repair == "none" else PLAN
    return Architecture.of_steps(configurations, repair=repair, calibration=calibration)


def schedule_of(
    architecture: Architecture,
    *,
    solver: str = "ddim",
    times: Sequence[float] = TIMES,
    model: ModelSection | None = None,
    weights_sha256: str | None = None,
    options: dict[str, Any] | None = None,
) -> Schedule:
    """The document of an architecture that cuts something."""
    model = CARD.document_section() if model is None else model
    section = architecture_section(
        architecture,
        CONFIG,
        model=model,
        times=times,
        solver=solver,
        options=options,
        weights_sha256=weights_sha256,
    )
    assert section is not None, "the architecture keeps everything"
    return Schedule.build(times, model=model, solver=solver, options=options, architecture=section)


@cache
def calibrated() -> Calibration:
    """Moments of the bundled model on `PLAN`."""
    program = PLAN.program(PROCESS)
    labels = balanced_labels(CARD, PLAN.num_images)
    start = torch.randn(
        PLAN.num_images, *CARD.image_shape, generator=torch.Generator().manual_seed(3)
    )

    def denoise(network: nn.Module) -> Denoiser:
        return guided_model(
            CARD, network=network, guidance="none", scale=1.0, is_clipped=True
        ).denoiser(labels)

    of_call = [node.network for node in program.nodes]
    with torch.no_grad():
        return calibrate(load_network(CARD), program, denoise, start, of_call=of_call)


def repaired_schedule(path: Path, architecture: Architecture, **given: Any) -> Schedule:
    """Write the repaired tensors of an architecture, and return the document that names them."""
    repairs = repairs_of(load_network(CARD), architecture, calibrated())
    return schedule_of(architecture, weights_sha256=save_repair(path, repairs), **given)
