"""Options of methods that come in several orders: one dataclass, its order option capped."""

from __future__ import annotations

from dataclasses import make_dataclass
from typing import TypeVar

from fewstep.solvers.options import Options, option, option_specs

O = TypeVar("O", bound=Options)  # noqa: E741  the letter the field uses for options


def capped_options(base: type[O], name: str, highest: int) -> type[O]:
    """`base` with its per-step option `name` at most, and by default, `highest`.

    A search may choose every value up to there.
    """
    spec = option_specs(base)[name]
    lowest = int(spec.low)
    capped = option(
        highest,
        help=spec.help,
        low=lowest,
        high=highest,
        per_step=True,
        genes=range(lowest, highest + 1),
    )
    made: type[O] = make_dataclass(
        f"{base.__name__}{highest}",
        [(name, tuple[int, ...], capped)],
        bases=(base,),
        frozen=True,
        slots=True,
        kw_only=True,
    )
    return made
