"""The solvers. Importing this package registers every one of them."""

from __future__ import annotations

from fewstep.solvers import ddim as _ddim
from fewstep.solvers import ddpm as _ddpm
from fewstep.solvers import dpm_solver_pp as _dpm_solver_pp
from fewstep.solvers import heun as _heun
from fewstep.solvers.base import (
    ALIASES,
    SOLVERS,
    Evaluate,
    Kind,
    S,
    Solver,
    canonical_name,
    solver_names,
)

_REGISTERED = (_ddim, _ddpm, _dpm_solver_pp, _heun)

__all__ = [
    "ALIASES",
    "SOLVERS",
    "Evaluate",
    "Kind",
    "S",
    "Solver",
    "canonical_name",
    "solver_names",
]
