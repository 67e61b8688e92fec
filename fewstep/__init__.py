"""Few-step schedules for pretrained diffusion models: trace, run, sample, read and write.

    >>> import fewstep
    >>> schedule = fewstep.Schedule.load("schedule.json")
    >>> images = schedule.sample(denoiser, noise)

Names are loaded on first use, so that reading documents and the command line do without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fewstep import denoisers, process
    from fewstep.level import Level
    from fewstep.networks.pruning.loading import load_pruned
    from fewstep.program import Program, trace
    from fewstep.running import run, sample
    from fewstep.schedule import Schedule
    from fewstep.spacing import grid, named_grids

__version__ = "0.1.0"

__all__ = [
    "Level",
    "Program",
    "Schedule",
    "__version__",
    "denoisers",
    "grid",
    "load_pruned",
    "named_grids",
    "process",
    "run",
    "sample",
    "trace",
]

_HOME = {
    "Level": "fewstep.level",
    "Program": "fewstep.program",
    "Schedule": "fewstep.schedule",
    "grid": "fewstep.spacing",
    "load_pruned": "fewstep.networks.pruning.loading",
    "named_grids": "fewstep.spacing",
    "run": "fewstep.running",
    "sample": "fewstep.running",
    "trace": "fewstep.program",
}
_MODULES = ("denoisers", "process")


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name in _MODULES:
        return import_module(f"fewstep.{name}")
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'fewstep' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names."""
    return list(__all__)
