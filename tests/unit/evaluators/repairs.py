"""Small pruned and repaired networks of the bundled digits, for the tests of scoring them."""

from __future__ import annotations

from collections.abc import Sequence

from fewstep.networks.models import resolve
from fewstep.networks.pruning.architecture import Architecture, Repair
from fewstep.networks.pruning.blocks import adm_blocks
from fewstep.networks.pruning.calibration_plan import CalibrationPlan
from fewstep.networks.pruning.configuration import BlockChoice, NetworkConfiguration
from space.candidate import Candidate

MODEL = "zoo:digits"
CARD = resolve(MODEL)
BLOCKS = adm_blocks(CARD.unet_config())
RESIDUAL = [block.name for block in BLOCKS if block.kind == "residual"]
ATTENTION = [block.name for block in BLOCKS if block.kind == "attention"]
TIMES = (0.6, 0.2, 0.0)
PLAN = CalibrationPlan(solver="ddim", times=TIMES, num_images=16)

FULL = NetworkConfiguration()
THIN = NetworkConfiguration.of(
    {name: BlockChoice("groups", (0, 1, 2, 4, 6, 7)) for name in RESIDUAL[1:4]}
    | {ATTENTION[0]: BlockChoice("heads", (1,))}
)
SHORT = NetworkConfiguration.of({RESIDUAL[3]: BlockChoice("removed")})
REUSING = NetworkConfiguration.of(
    {RESIDUAL[2]: BlockChoice("reused"), RESIDUAL[3]: BlockChoice("groups", (0, 1, 2, 3))}
)


def architecture(
    *configurations: NetworkConfiguration,
    repair: Repair = "ridge",
    plan: CalibrationPlan = PLAN,
) -> Architecture:
    """One configuration a step, repaired."""
    calibration = None if repair == "none" else plan
    return Architecture.of_steps(configurations, repair=repair, calibration=calibration)


def candidate(run: Architecture | None, *, times: Sequence[float] = TIMES) -> Candidate:
    """A schedule of the digits under an architecture."""
    return Candidate(solver="ddim", times=tuple(times), architecture=run)
