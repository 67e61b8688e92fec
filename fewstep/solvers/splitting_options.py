"""Options of the solvers that take guidance as a part of its own: LTSP, STSP and ADD."""

from __future__ import annotations

from dataclasses import dataclass

from fewstep.errors import InvalidInput
from fewstep.solvers.options import Options, option

MAX_ORDER = 4


def order_option(highest: int) -> tuple[int, ...]:
    """The field of the diffusion part's order in a solver whose order is `highest`."""
    field: tuple[int, ...] = option(
        highest,
        low=1,
        high=highest,
        per_step=True,
        genes=tuple(range(1, highest + 1)) if highest > 1 else (),
        help="Adams-Bashforth order of the diffusion part, as far as earlier steps reach",
    )
    return field


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitOptions(Options):
    """What every split solver can be told about its two parts; the options of `add1`."""

    order: tuple[int, ...] = order_option(1)
    order_cond: int = option(
        1, choices=(1, 2, 4), help="Adams-Bashforth order of the condition part, above 1 unstable"
    )
    weights: str = option(
        "constant",
        choices=("constant", "variable"),
        genes=("constant", "variable"),
        help="Adams-Bashforth weights of equal steps, or those of the actual steps in rho",
    )
    step_ratio: float = option(
        0.0,
        low=0.0,
        high=100.0,
        help="order 2 at most where neighbouring steps differ by a larger factor; 0 is no limit",
    )
    cond_momentum: float = option(
        1.0,
        low=0.1,
        high=1.0,
        help="share of the new gradient in the averaged one (GHVB); 1 is off",
    )
    gradient: tuple[str, ...] = option(
        "evaluate",
        choices=("evaluate", "reuse", "omit"),
        per_step=True,
        genes=("evaluate", "reuse", "omit"),
        help="whether a step takes the gradient, the last slope of the condition part, or nothing",
    )
    impute: bool = option(False, help="put in what is known of the state after each step")

    def check(self, steps: int) -> None:  # noqa: ARG002  the tuples know the steps
        """Refuse momentum with a multistep condition part, and reuse of what is not there yet."""
        if self.cond_momentum != 1.0 and self.order_cond != 1:
            raise InvalidInput(
                f"options.cond_momentum={self.cond_momentum}: not with order_cond="
                f"{self.order_cond}; allowed: 1",
                field="options.cond_momentum",
            )
        for step, choice in enumerate(self.gradient):
            if choice == "evaluate":
                break
            if choice == "reuse":
                field = f"options.gradient[{step}]"
                raise InvalidInput(
                    f"{field}='reuse': no step before it evaluates one; allowed: evaluate, omit",
                    field=field,
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Add2Options(SplitOptions):
    """Options of `add2`."""

    order: tuple[int, ...] = order_option(2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Add4Options(SplitOptions):
    """Options of `add4`."""

    order: tuple[int, ...] = order_option(MAX_ORDER)


@dataclass(frozen=True, slots=True, kw_only=True)
class LTSP1Options(SplitOptions):
    """What Lie-Trotter splitting adds: which part goes first, and where guidance is evaluated."""

    order_first: str = option(
        "cond",
        choices=("cond", "diff"),
        help="the part taken first: cond as in the released code, diff as in the paper",
    )
    cond_time: str = option(
        "end",
        choices=("end", "start"),
        help="the end of the step at which guidance is evaluated where the diffusion part is first",
    )

    def check(self, steps: int) -> None:
        """Refuse a time of guidance where the order of the parts fixes it."""
        SplitOptions.check(self, steps)
        if self.order_first == "cond" and self.cond_time != "end":
            raise InvalidInput(
                f"options.cond_time={self.cond_time!r}: with order_first='cond' guidance is "
                "evaluated before the step anyway; allowed: end",
                field="options.cond_time",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class LTSP2Options(LTSP1Options):
    """Options of `ltsp2`."""

    order: tuple[int, ...] = order_option(2)


@dataclass(frozen=True, slots=True, kw_only=True)
class LTSP4Options(LTSP1Options):
    """Options of `ltsp4`."""

    order: tuple[int, ...] = order_option(MAX_ORDER)


@dataclass(frozen=True, slots=True, kw_only=True)
class STSP1Options(SplitOptions):
    """What Strang splitting adds: the factor of its second half, and whether halves are merged."""

    half_sigma: str = option(
        "mid",
        choices=("mid", "end"),
        help="where the second half step takes sigma: mid of the step in rho (released code), end",
    )
    fused: bool = option(
        False, help="merge the half steps that meet between two steps: one gradient less each"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class STSP2Options(STSP1Options):
    """Options of `stsp2`."""

    order: tuple[int, ...] = order_option(2)


@dataclass(frozen=True, slots=True, kw_only=True)
class STSP4Options(STSP1Options):
    """Options of `stsp4`."""

    order: tuple[int, ...] = order_option(MAX_ORDER)
