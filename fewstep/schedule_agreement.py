"""A document's points, and whether stored levels and programs are those that its times give."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from fewstep.errors import InvalidInput
from fewstep.process import Process, VPDiscrete
from fewstep.program import Program

# How far stored levels and coefficients may be from those recomputed here.
LEVEL_TOLERANCE = 1e-6
COEFFICIENT_TOLERANCE = 1e-9

_Times = Annotated[tuple[float, ...], Field(min_length=2, max_length=1001)]


class PointsSection(BaseModel):
    """Parallel arrays over the K + 1 points, noise first; the last one is the terminal.

    `t` process time, `s` noise-to-signal ratio, `lam` = -ln s (null at the clean level), `k` the
    training index (null where there is none), `network_time` what the network is fed (null at the
    terminal, which is not evaluated).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    t: _Times
    s: _Times
    lam: tuple[float | None, ...]
    k: tuple[int | None, ...]
    network_time: tuple[float | None, ...]


def points_of(times: Sequence[float], process: Process) -> PointsSection:
    """The points of a grid."""
    levels = [process.at(t) for t in times]
    return PointsSection(
        t=tuple(level.t for level in levels),
        s=tuple(level.rho for level in levels),
        lam=tuple(None if level.is_clean else level.lam for level in levels),
        k=tuple(_index(level.t, process) for level in levels),
        network_time=(*(process.network_time(level.t) for level in levels[:-1]), None),
    )


def _index(t: float, process: Process) -> int | None:
    if not isinstance(process, VPDiscrete):
        return None
    try:
        return process.index_of(t)
    except InvalidInput:
        return None


def check_points(stored: PointsSection, computed: PointsSection) -> None:
    """Hold stored points against those of the process.

    Raises:
        InvalidInput: names the field and the position.
    """
    for name in PointsSection.model_fields:
        mine, theirs = getattr(computed, name), getattr(stored, name)
        if len(mine) != len(theirs):
            raise InvalidInput(
                f"points.{name}: {len(theirs)} values; allowed: {len(mine)}", field=f"points.{name}"
            )
        for i, (expected, value) in enumerate(zip(mine, theirs, strict=True)):
            if not _close(expected, value, LEVEL_TOLERANCE):
                raise InvalidInput(
                    f"points.{name}[{i}]={value!r}: the process has {expected!r} there",
                    field=f"points.{name}[{i}]",
                )


def check_program(stored: Program, traced: Program) -> None:
    """Hold a stored program against what the solver does.

    Raises:
        InvalidInput: another network, shape, coefficient or level.
    """
    for i, (node, other) in enumerate(zip(stored.nodes, traced.nodes, strict=False)):
        if node.network != other.network:
            raise InvalidInput(
                f"program.nodes[{i}].network={node.network}: its step runs network {other.network}",
                field=f"program.nodes[{i}].network",
            )
    if stored.shape != traced.shape or stored.noise_terms != traced.noise_terms:
        raise InvalidInput("program: not what the solver does on these points", field="program")
    pairs = [
        *((a.input, b.input) for a, b in zip(stored.nodes, traced.nodes, strict=True)),
        (stored.output, traced.output),
    ]
    scale = max(1.0, traced.condition)
    for i, (mine, theirs) in enumerate(pairs):
        for source in {*mine, *theirs}:
            difference = abs(mine.get(source, 0.0) - theirs.get(source, 0.0))
            if difference > COEFFICIENT_TOLERANCE * scale:
                raise InvalidInput(
                    f"program: coefficient of {source} in combination {i} is "
                    f"{mine.get(source, 0.0)!r}, the solver gives {theirs.get(source, 0.0)!r}",
                    field="program",
                )
    for i, (node, other) in enumerate(zip(stored.nodes, traced.nodes, strict=True)):
        if not all(
            _close(a, b, LEVEL_TOLERANCE)
            for a, b in [
                (other.level.t, node.level.t),
                (other.level.alpha, node.level.alpha),
                (other.level.sigma, node.level.sigma),
            ]
        ):
            raise InvalidInput(
                f"program.nodes[{i}]: level {node.level} is not on the points", field="program"
            )


def _close(expected: float | None, value: float | None, tolerance: float) -> bool:
    if expected is None or value is None:
        return expected is value
    return math.isclose(expected, value, rel_tol=tolerance, abs_tol=1e-12)
