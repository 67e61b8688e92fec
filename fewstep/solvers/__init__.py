"""The solvers. Importing this package registers every one of them."""

from __future__ import annotations

from fewstep.solvers import additive as _additive
from fewstep.solvers import ddim as _ddim
from fewstep.solvers import ddpm as _ddpm
from fewstep.solvers import deis_ab as _deis_ab
from fewstep.solvers import deis_rk as _deis_rk
from fewstep.solvers import dpm_solver as _dpm_solver
from fewstep.solvers import dpm_solver_pp as _dpm_solver_pp
from fewstep.solvers import euler_maruyama as _euler_maruyama
from fewstep.solvers import euler_maruyama_uniform as _euler_maruyama_uniform
from fewstep.solvers import heun as _heun
from fewstep.solvers import ipndm as _ipndm
from fewstep.solvers import karras_churn as _karras_churn
from fewstep.solvers import plms as _plms
from fewstep.solvers import probability_flow as _probability_flow
from fewstep.solvers import reverse_diffusion as _reverse_diffusion
from fewstep.solvers import scire as _scire
from fewstep.solvers import scire_multistep as _scire_multistep
from fewstep.solvers import scirei as _scirei
from fewstep.solvers import splitting as _splitting
from fewstep.solvers import unipc as _unipc
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

_REGISTERED = (
    _additive,
    _ddim,
    _ddpm,
    _deis_ab,
    _deis_rk,
    _dpm_solver,
    _dpm_solver_pp,
    _euler_maruyama,
    _euler_maruyama_uniform,
    _heun,
    _ipndm,
    _karras_churn,
    _plms,
    _probability_flow,
    _reverse_diffusion,
    _scire,
    _scire_multistep,
    _scirei,
    _splitting,
    _unipc,
)

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
