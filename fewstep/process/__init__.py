"""Noise processes, and how to get one back from its description in a document."""

from __future__ import annotations

from collections.abc import Mapping

from fewstep.errors import InvalidInput
from fewstep.process.base import Process
from fewstep.process.vp_discrete import VPDiscrete

__all__ = ["Process", "VPDiscrete", "process_from_description"]

_BETA_SCHEDULES = ("cosine", "linear", "scaled_linear", "table")


def process_from_description(description: Mapping[str, object]) -> VPDiscrete:
    """Build the process that `Process.describe` described.

    Raises:
        InvalidInput: unknown family or beta schedule, or its numbers are missing or wrong.
    """
    family = description.get("family")
    if family != VPDiscrete.family:
        raise InvalidInput(
            f"process.family={family!r}: unknown; allowed: {VPDiscrete.family}",
            field="process.family",
        )
    name = description.get("beta_schedule")
    if name not in _BETA_SCHEDULES:
        raise InvalidInput(
            f"process.beta_schedule={name!r}: unknown; allowed: {', '.join(_BETA_SCHEDULES)}",
            field="process.beta_schedule",
        )
    if name == "table":
        table = description.get("alphas_cumprod")
        if not isinstance(table, list):
            raise InvalidInput(
                "process.alphas_cumprod: a table process needs its list of numbers",
                field="process.alphas_cumprod",
            )
        return VPDiscrete([float(value) for value in table])
    count = int(_number(description, "num_train_timesteps"))
    if name == "cosine":
        return VPDiscrete.cosine(count)
    build = VPDiscrete.linear if name == "linear" else VPDiscrete.scaled_linear
    return build(count, _number(description, "beta_start"), _number(description, "beta_end"))


def _number(description: Mapping[str, object], key: str) -> float:
    value = description.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(f"process.{key}={value!r}: must be a number", field=f"process.{key}")
    return float(value)
