"""phi, the divisor of slopes in the SciRE solvers: given step by step, or a published setting.

The recursive difference of the paper estimates the slope of F at s by (F_t - F_s) / (phi h). With
phi = 1 that is the plain finite difference, which is consistent. The published phi < 1 multiply the
slope by 1 / phi at every step size, so they give up second order for an emphasis on what is new.
Ref: Li et al. 2023 (SciRE-Solver, arXiv 2308.07896), section 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from fewstep.errors import InvalidInput
from fewstep.solvers.options import Options, option

# phi_1 of infinitely many terms, (e - 1) / e.
LIMIT = -math.expm1(-1.0)
# 1 / 20! is below the rounding error of the sum: more terms change nothing.
_ALL_TERMS = 20

# Name of a rule -> number of terms of phi_1 at a step (0 is the first).
Ramps = Mapping[str, Callable[[int], int]]
_NO_RAMPS: Ramps = MappingProxyType({})


def partial_phi(terms: int) -> float:
    """phi_1(m) = sum over k = 1..m of (-1)^(k-1) / k!, for a function differentiable m times."""
    last = min(terms, _ALL_TERMS)
    return math.fsum((-1) ** (k - 1) / math.factorial(k) for k in range(1, last + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class PhiOptions(Options):
    """phi of each step, or the name of a published choice of all of them."""

    phi: tuple[float, ...] = option(
        1.0,
        low=0.5,
        high=1.0,
        per_step=True,
        genes=(1.0, 0.9, 0.8, 0.7, 2.0 / 3.0, LIMIT),
        help="divisor of the slope: 1 is the consistent finite difference, less weighs it more",
    )
    phi_rule: str = option(
        "given",
        choices=("given", "m3", "limit", "ramp", "ramp-oct-2023"),
        help="where phi comes from: `given` is the option phi; m3 is 2/3, limit is (e-1)/e, "
        "the ramps change with the step as in the authors' code of April 2024 and October 2023",
    )

    def check(self, steps: int) -> None:  # noqa: ARG002  the signature is that of all options
        """phi may be set only where the rule is `given`."""
        if self.phi_rule != "given" and any(phi != 1.0 for phi in self.phi):
            raise InvalidInput(
                f"options.phi={list(self.phi)}: phi_rule={self.phi_rule!r} sets phi itself; "
                "allowed: phi at its default, or phi_rule='given'",
                field="options.phi",
            )

    def phis(self, count: int, ramps: Ramps = _NO_RAMPS) -> Sequence[float]:
        """phi of each of the first `count` steps."""
        if self.phi_rule == "given":
            return self.phi[:count]
        if self.phi_rule == "m3":
            return (partial_phi(3),) * count
        if self.phi_rule == "limit":
            return (LIMIT,) * count
        terms = ramps[self.phi_rule]
        return tuple(partial_phi(terms(i)) for i in range(count))


def single_step_ramps(full_steps: int) -> Ramps:
    """Terms of phi_1 in the single-step solvers; `full_steps` is calls // order.

    Odd numbers going up, the most in the middle, even ones going down. Steps after `full_steps` (of
    lower order, in agile allocations) take the value to which the authors' index wraps around.
    """
    last = max(full_steps, 1)

    def ramp(i: int) -> int:
        if i >= last or i == last // 2:
            return last + 2
        return 3 + 2 * i if i < last // 2 else 2 + 2 * (last - i)

    def ramp_oct_2023(i: int) -> int:
        if i >= last:
            return last + 1
        return 4 + 2 * i if i < last // 2 else 3 + 2 * (last - 1 - i)

    return {"ramp": ramp, "ramp-oct-2023": ramp_oct_2023}


def multistep_ramps(steps: int, order: int) -> Ramps:
    """Terms of phi_1 in the multistep solvers, for `steps` steps of full order `order`."""

    def ramp(i: int) -> int:
        i += 1  # the authors count from 1
        if i < order:
            return 2 + 2 * i
        if i < steps // 2:
            return 4 + 2 * (i - order)
        return steps + 3 if i == steps // 2 else 3 + 2 * (steps - i)

    def ramp_oct_2023(i: int) -> int:
        i += 1
        if i < order:
            return steps + 3 - i
        half = (steps + 1 - order) // 2
        return 4 + 2 * (i - order) if i < half + order else 3 + 2 * (order + 2 * half - i)

    return {"ramp": ramp, "ramp-oct-2023": ramp_oct_2023}
