"""DEIS, Runge-Kutta: classical explicit methods on the flow in rho.

Heun's method is among them and has a file of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from fewstep.level import Level
from fewstep.process.base import Process
from fewstep.solvers.base import Evaluate, S, register
from fewstep.solvers.options import Options


@dataclass(frozen=True, slots=True)
class Tableau:
    """An explicit Runge-Kutta method: stage m uses the slopes before it with weights rows[m]."""

    order: int
    rows: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]

    def __call__(
        self,
        evaluate: Evaluate[S],
        x: S,
        levels: Sequence[Level],
        process: Process,
        *,
        options: Options,  # noqa: ARG002  these methods leave nothing open
    ) -> S:
        """Runge-Kutta for dv / drho = eps, v = x / alpha. Ref: Zhang, Chen 2023 (DEIS), rhoRK-DEIS.

        Written in changes of the slope since the step's start: the part with constant slope is a
        DDIM step, which loses no digits where rho falls from hundreds to one.
        """
        v = x / levels[0].alpha
        for s, t in pairwise(levels):
            denoised = evaluate(s.alpha * v, s)
            changes: list[S] = []
            for row in self.rows[1:]:
                at = _stage_level(sum(row), s, t, process)
                reach = (at.rho - s.rho) / sum(row)  # h, up to what the process can resolve
                bend = _scaled(reach, row[1:], changes)
                stage = _plus(_straight(v, denoised, s, at), bend)
                fall = denoised - evaluate(at.alpha * stage, at)
                changes.append(_plus(fall, bend) / at.rho)
            bend = _scaled(t.rho - s.rho, self.weights[1:], changes)
            v = _plus(_straight(v, denoised, s, t), bend)
        return levels[-1].alpha * v


def _stage_level(share: float, s: Level, t: Level, process: Process) -> Level:
    """The level a share of the step's rho further; its end is the grid's own level."""
    return t if share == 1.0 else process.at_rho(s.rho + share * (t.rho - s.rho))


def _straight(v: S, denoised: S, s: Level, at: Level) -> S:
    """v at a level if the slope stays (v - denoised) / rho."""
    keep = at.rho / s.rho
    return keep * v + (1.0 - keep) * denoised


def _scaled(h: float, weights: Sequence[float], changes: Sequence[S]) -> list[S]:
    return [(h * weight) * change for weight, change in zip(weights, changes, strict=True)]


def _plus(x: S, terms: Sequence[S]) -> S:
    for term in terms:
        x = x + term
    return x


# A stage's place c is the sum of its row. Names: Kutta's third-order method, Heun's third-order
# one, Ralston's, van der Houwen's, the strong-stability-preserving one, the classical fourth.
TABLEAUS = {
    "midpoint": Tableau(2, ((), (1 / 2,)), (0.0, 1.0)),
    "kutta3": Tableau(3, ((), (1 / 2,), (-1.0, 2.0)), (1 / 6, 4 / 6, 1 / 6)),
    "heun3": Tableau(3, ((), (1 / 3,), (0.0, 2 / 3)), (1 / 4, 0.0, 3 / 4)),
    "ralston3": Tableau(3, ((), (1 / 2,), (0.0, 3 / 4)), (2 / 9, 3 / 9, 4 / 9)),
    "vdh3": Tableau(3, ((), (8 / 15,), (1 / 4, 5 / 12)), (1 / 4, 0.0, 3 / 4)),
    "ssprk3": Tableau(3, ((), (1.0,), (1 / 4, 1 / 4)), (1 / 6, 1 / 6, 2 / 3)),
    "rk4": Tableau(4, ((), (1 / 2,), (0.0, 1 / 2), (0.0, 0.0, 1.0)), (1 / 6, 2 / 6, 2 / 6, 1 / 6)),
}

for _name, _tableau in TABLEAUS.items():
    register(f"deis-rhork-{_name}", order=_tableau.order, calls_per_step=len(_tableau.rows))(
        _tableau
    )
