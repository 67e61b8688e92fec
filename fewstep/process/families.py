"""Every process family by name, and how to build a process from its description in a document."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TypeAlias

from fewstep.errors import InvalidInput
from fewstep.process.base import Process
from fewstep.process.continuous import ContinuousProcess
from fewstep.process.flow_matching import FlowMatching
from fewstep.process.variance_exploding import EDM, VE
from fewstep.process.vp_cosine import VPCosine
from fewstep.process.vp_discrete import INTERPOLATION, VPDiscrete
from fewstep.process.vp_linear import SubVP, VPLinear
from fewstep.registry import Registry

Build: TypeAlias = Callable[[Mapping[str, object]], Process]

FAMILIES: Registry[Build] = Registry("process family")

# Longest table a document may ask for; the longest published ones have 4000 entries.
MAX_TRAIN_TIMESTEPS = 100_000
_BETA_SCHEDULES = ("cosine", "linear", "scaled_linear", "table")


def process_from_description(description: Mapping[str, object]) -> Process:
    """Build the process that `Process.describe` described.

    Raises:
        UnknownName: no such family.
        InvalidInput: a field is missing, unknown, or has a value that is not allowed.
    """
    build = FAMILIES.get(description.get("family"), field="process.family")  # type: ignore[arg-type]
    try:
        return build(description)
    except InvalidInput as error:
        raise InvalidInput(
            f"process.{error.message}", field=f"process.{error.field or 'family'}"
        ) from error


def _register_continuous(kind: type[ContinuousProcess]) -> None:
    """Register a family that is described by its dataclass fields, all of them floats."""

    def build(description: Mapping[str, object]) -> Process:
        values = {f.name: _number(description, f.name) for f in fields(kind)}
        _refuse_others(description, ("family", *values))
        return kind(**values)

    FAMILIES.register(kind.family, build)


def _discrete(description: Mapping[str, object]) -> Process:
    """A table process, rescaled where the description says so."""
    name = description.get("beta_schedule")
    if name not in _BETA_SCHEDULES:
        raise InvalidInput(
            f"beta_schedule={name!r}: unknown; allowed: {', '.join(_BETA_SCHEDULES)}",
            field="beta_schedule",
        )
    _check_choice(description, "interpolation", INTERPOLATION)
    _check_choice(description, "rescale_zero_snr", True)
    base = _table(description) if name == "table" else _named_betas(description, str(name))
    if "rescale_zero_snr" in description:
        return VPDiscrete.zero_terminal_snr(base)
    return base


_DISCRETE_FIELDS = ("family", "beta_schedule", "interpolation", "rescale_zero_snr")


def _table(description: Mapping[str, object]) -> VPDiscrete:
    table = description.get("alphas_cumprod")
    if not isinstance(table, list) or not all(_is_number(value) for value in table):
        raise InvalidInput(
            "alphas_cumprod: a table process needs its list of numbers", field="alphas_cumprod"
        )
    _refuse_others(description, (*_DISCRETE_FIELDS, "alphas_cumprod"))
    return VPDiscrete([float(value) for value in table])


def _named_betas(description: Mapping[str, object], name: str) -> VPDiscrete:
    count = _number(description, "num_train_timesteps")
    if not (count.is_integer() and 1 <= count <= MAX_TRAIN_TIMESTEPS):
        raise InvalidInput(
            f"num_train_timesteps={count!r}: allowed: whole numbers from 1 to "
            f"{MAX_TRAIN_TIMESTEPS}",
            field="num_train_timesteps",
        )
    known = (*_DISCRETE_FIELDS, "num_train_timesteps")
    if name == "cosine":
        _refuse_others(description, known)
        return VPDiscrete.cosine(int(count))
    start, end = _number(description, "beta_start"), _number(description, "beta_end")
    _refuse_others(description, (*known, "beta_start", "beta_end"))
    build = VPDiscrete.linear if name == "linear" else VPDiscrete.scaled_linear
    return build(int(count), start, end)


def _is_number(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)  # type: ignore[arg-type]


def _number(description: Mapping[str, object], key: str) -> float:
    value = description.get(key)
    if not _is_number(value):
        raise InvalidInput(f"{key}={value!r}: must be a finite number", field=key)
    return float(value)  # type: ignore[arg-type]


def _check_choice(description: Mapping[str, object], key: str, allowed: object) -> None:
    if key in description and description[key] != allowed:
        raise InvalidInput(f"{key}={description[key]!r}: allowed: {allowed!r}", field=key)


def _refuse_others(description: Mapping[str, object], known: tuple[str, ...]) -> None:
    """A misspelled field must not give another process without a word."""
    for key in description:
        if key not in known:
            raise InvalidInput(
                f"{key}: no such field of this process; allowed: {', '.join(known)}", field=key
            )


FAMILIES.register(VPDiscrete.family, _discrete)
for _kind in (VPLinear, VPCosine, SubVP, VE, EDM, FlowMatching):
    _register_continuous(_kind)
