"""One process of every family, for tests that hold for all of them."""

from __future__ import annotations

from fewstep.process import (
    EDM,
    VE,
    FlowMatching,
    Process,
    SubVP,
    VPCosine,
    VPDiscrete,
    VPLinear,
)

CONTINUOUS: tuple[Process, ...] = (
    VPLinear(),
    VPCosine(),
    SubVP(),
    VE(),
    EDM(),
    FlowMatching(),
    FlowMatching(shift=3.0),
)
PROCESSES: tuple[Process, ...] = (
    VPDiscrete.linear(),
    VPDiscrete.zero_terminal_snr(VPDiscrete.scaled_linear()),
    *CONTINUOUS,
)


def label(process: Process) -> str:
    """A short name for test reports."""
    numbers = [f"{v:g}" for v in process.describe().values() if isinstance(v, float)]
    return "-".join([process.family, *numbers])
