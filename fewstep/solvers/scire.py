"""SciRE-Solver, single-step: methods of order 2 and 3 whose slopes are divided by phi."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from fewstep.errors import InvalidInput
from fewstep.level import Level
from fewstep.process.base import Process
from fewstep.solvers.base import Evaluate, S, register
from fewstep.solvers.options import option, option_specs
from fewstep.solvers.scire_form import ScoreIntegrand
from fewstep.solvers.scire_phi import PhiOptions, single_step_ramps

# The offset of the NSR grid in all of the authors' code.
_NSR_OFFSET = 3.1


def agile_orders(nfe: int, order: int) -> tuple[int, ...]:
    """Orders of the steps that spend exactly `nfe` calls, as DPM-Solver-fast does.

    A grid that ends clean takes one more call for its last step, and one more entry (unused) in the
    option `order`. The authors keep, of a trajectory of `nfe` intervals, the nodes at the
    cumulative sums of the orders. Fewer calls than `order` lower it. Ref: Li et al. 2023, agile.

    Raises:
        InvalidInput: no calls, or an order other than 1, 2, 3.
    """
    order = _capped_order(nfe, order)
    full, rest = divmod(nfe, order)
    if order == 3 and rest == 0:
        return (3,) * (full - 1) + (2, 1)
    return (order,) * full + ((rest,) if rest else ())


def fixed_orders(nfe: int, order: int) -> tuple[int, ...]:
    """As many steps of one order as `nfe` calls allow; up to order - 1 calls are left over.

    Raises:
        InvalidInput: no calls, or an order other than 1, 2, 3.
    """
    order = _capped_order(nfe, order)
    return (order,) * (nfe // order)


def _capped_order(nfe: int, order: int) -> int:
    if nfe < 1:
        raise InvalidInput(f"nfe={nfe}: allowed: 1 and more", field="nfe")
    if order not in (1, 2, 3):
        raise InvalidInput(f"order={order}: allowed: 1, 2, 3", field="order")
    return min(nfe, order)


def _uniform_t(process: Process, s: Level, t: Level, share: float) -> Level:
    return process.at(s.t + share * (t.t - s.t))


def _log_snr(process: Process, s: Level, t: Level, share: float) -> Level:
    return process.at_rho(math.exp(-(s.lam + share * (t.lam - s.lam))))


def _nsr(process: Process, s: Level, t: Level, share: float) -> Level:
    """Uniform in log(rho + k rho_t), as the NSR grid between s and t."""
    offset = _NSR_OFFSET * t.rho
    return process.at_rho((s.rho + offset) ** (1.0 - share) * (t.rho + offset) ** share - offset)


# Grids that may be rebuilt inside a step: (process, s, t, share of the way) -> level.
_SUB_GRIDS: Mapping[str, Callable[[Process, Level, Level, float], Level]] = {
    "uniform-t": _uniform_t,
    "log-snr": _log_snr,
    "nsr-3.1": _nsr,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scire2Options(PhiOptions):
    """What SciRE-2 leaves open, and what SciRE-3 shares with it."""

    version: int = option(
        1, choices=(1, 2), genes=(1, 2), help="1 integrates the noise in rho, 2 denoised in 1/rho"
    )
    order: tuple[int, ...] = option(
        2, low=1, high=2, per_step=True, help="order of each step, which is also its calls"
    )
    r1: float = option(0.5, low=0.05, high=1.0, help="where the inner level is, from 0 to 1 in u")
    inner_nodes: str = option(
        "constant",
        choices=("constant", *_SUB_GRIDS),
        help="inner levels: `constant` shares r of the step, or the named grid inside the step",
    )
    ratio_coordinate: str = option(
        "own",
        choices=("own", "nsr"),
        help="version 2, named inner grids: place inner levels by their share of 1/rho, or, as the "
        "authors' code does, by their share of rho",
    )

    def check(self, steps: int) -> None:
        """Refuse what would have no effect beside the other options."""
        PhiOptions.check(self, steps)
        is_constant = self.inner_nodes == "constant"
        for name in ("r1", "r2"):
            spec = option_specs(type(self)).get(name)
            if spec and not is_constant and getattr(self, name) != spec.default:
                raise InvalidInput(
                    f"options.{name}={getattr(self, name)}: inner_nodes={self.inner_nodes!r} "
                    f"places the levels; allowed: {spec.default:g}, or inner_nodes='constant'",
                    field=f"options.{name}",
                )
        if self.ratio_coordinate == "nsr" and (is_constant or self.version == 1):
            raise InvalidInput(
                f"options.ratio_coordinate='nsr': no effect with version={self.version}, "
                f"inner_nodes={self.inner_nodes!r}; allowed: own",
                field="options.ratio_coordinate",
            )

    def shares(self, order: int) -> tuple[float, ...]:
        """Constant shares of a step of some order."""
        return (self.r1,)[: order - 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scire3Options(Scire2Options):
    """What SciRE-3 leaves open. Steps of order 2 use the constant share 1/2."""

    order: tuple[int, ...] = option(
        3, low=1, high=3, per_step=True, help="order of each step, which is also its calls"
    )
    r1: float = option(1.0 / 3.0, low=0.05, high=1.0, help="where the first inner level is, in u")
    r2: float = option(2.0 / 3.0, low=0.05, high=1.0, help="where the second inner level is, in u")
    inner: str = option(
        "paper",
        choices=("paper", "heun3"),
        genes=("paper", "heun3"),
        help="weight of the slope in the second inner state: `paper` r2/(2 r1), order 2; `heun3` "
        "r2^2/(2 r1), order 3 (with phi = 1, r2 = 2/3)",
    )

    def shares(self, order: int) -> tuple[float, ...]:
        """Constant shares of a step of some order."""
        return (self.r1, self.r2) if order == 3 else (0.5,)[: order - 1]


def _count_calls(steps: int, options: Scire2Options) -> int:
    """Calls of a grid that ends clean: each noisy step its order, the last step one."""
    return sum(options.order[: steps - 1]) + 1


@register("scire-2", order=2, calls_per_step=2, options=Scire2Options, count_calls=_count_calls)
def scire_2(
    evaluate: Evaluate[S],
    x: S,
    levels: Sequence[Level],
    process: Process,
    *,
    options: Scire2Options,
) -> S:
    """Single-step, two calls a step. Ref: Li et al. 2023 (SciRE-Solver), algorithm SciRE-2.

    phi = 1 is the midpoint rule in u. The published phi < 1 make it first order, as the paper's
    theorem allows (at least k - 1).
    """
    return _single_step(evaluate, x, levels, process, options, highest=2, is_heun3=False)


@register("scire-3", order=2, calls_per_step=3, options=Scire3Options, count_calls=_count_calls)
def scire_3(
    evaluate: Evaluate[S],
    x: S,
    levels: Sequence[Level],
    process: Process,
    *,
    options: Scire3Options,
) -> S:
    """Single-step, three calls a step. Ref: Li et al. 2023 (SciRE-Solver), algorithm SciRE-3.

    Second order with phi = 1, because the inner coefficient of the paper is r2 / (2 r1); third with
    `inner="heun3"`. With the published phi < 1 it is first order: the paper's theorem claims at
    least second, but the weights give sum b c = 1 / (2 phi), which is 1/2 for phi = 1 alone.
    """
    is_heun3 = options.inner == "heun3"
    return _single_step(evaluate, x, levels, process, options, highest=3, is_heun3=is_heun3)


def _single_step(
    evaluate: Evaluate[S],
    x: S,
    levels: Sequence[Level],
    process: Process,
    options: Scire2Options,
    *,
    highest: int,
    is_heun3: bool,
) -> S:
    form = ScoreIntegrand(options.version)
    orders = options.order[: len(levels) - 1]
    phis = options.phis(len(orders), single_step_ramps(sum(orders) // highest))
    v = x / form.scale(levels[0])
    for (s, t), order, phi in zip(pairwise(levels), orders, phis, strict=True):
        start = form.slope(evaluate, v, s)
        inner = _inner_levels(form, s, t, order, process, options)
        v = advance_single(evaluate, v, start, s, t, inner, form, phi=phi, is_heun3=is_heun3)
    return form.scale(levels[-1]) * v


def advance_single(
    evaluate: Evaluate[S],
    v: S,
    start: S,
    s: Level,
    t: Level,
    inner: Sequence[Level],
    form: ScoreIntegrand,
    *,
    phi: float,
    is_heun3: bool = False,
) -> S:
    """One step of v, whose slope at s is `start`; no, one or two inner levels: order 1, 2 or 3."""
    h = form.step(s, t)
    if not inner:
        return v + h * start
    r = form.share(inner[0], s, t)
    change = form.slope(evaluate, v + (r * h) * start, inner[0]) - start
    if len(inner) == 2:
        r1, r = r, form.share(inner[1], s, t)
        weight = (r**2 if is_heun3 else r) / (2.0 * r1 * phi)
        stage = v + (r * h) * start + (weight * h) * change
        change = form.slope(evaluate, stage, inner[1]) - start
    return v + h * start + (h / (2.0 * r * phi)) * change


def _inner_levels(
    form: ScoreIntegrand,
    s: Level,
    t: Level,
    order: int,
    process: Process,
    options: Scire2Options,
) -> list[Level]:
    """The levels inside a step at which F is evaluated."""
    if options.inner_nodes == "constant":
        shares: Sequence[float] = options.shares(order)
    else:
        sub_grid = _SUB_GRIDS[options.inner_nodes]
        inner = [sub_grid(process, s, t, j / order) for j in range(1, order)]
        if options.ratio_coordinate == "own":
            return inner
        shares = [ScoreIntegrand(1).share(level, s, t) for level in inner]
    u, h = form.u(s), form.step(s, t)
    return [t if r == 1.0 else form.level(u + r * h, process) for r in shares]
