"""Options of solvers: declared once as dataclass fields, checked and expanded to the grid.

A solver's options are one frozen dataclass. Each field is made by `option`, which says what values
are allowed, whether there is one value for each step, and which values a search may try. Documents
and requests hold options as plain JSON; `resolve_options` turns those into the dataclass.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias, TypeVar

from fewstep.errors import InvalidInput

Scalar: TypeAlias = "bool | int | float | str"
OptionValue: TypeAlias = "Scalar | tuple[Scalar, ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a solver without options takes; the base of all others."""

    def check(self, steps: int) -> None:
        """Refuse combinations that the fields' own limits let through.

        Raises:
            InvalidInput: names the option, its value, and what is allowed.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionSpec:
    """What is allowed for one option.

    Attributes:
        default: The value when none is given; its type is the option's type.
        choices: All allowed values, or None.
        low: Least allowed number, included.
        high: Largest allowed number, included.
        per_step: Whether each of the grid's K steps has its own value. One value stands for all.
        genes: Values that a search may choose from; empty where it may not.
        help: One line on what it does.
    """

    default: Scalar
    choices: tuple[Scalar, ...] | None
    low: float
    high: float
    per_step: bool
    genes: tuple[Scalar, ...]
    help: str

    @property
    def allowed(self) -> str:
        """What is allowed, as messages say it."""
        if isinstance(self.default, bool):
            return "true, false"
        if self.choices is not None:
            return ", ".join(str(choice) for choice in self.choices)
        kind = "whole numbers" if isinstance(self.default, int) else "numbers"
        return f"{kind} from {self.low:g} to {self.high:g}"

    def read(self, value: object, label: str) -> Scalar:
        """One value of the option's type within its limits.

        Raises:
            InvalidInput: it is not; the message uses `label` as the field.
        """
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if isinstance(self.default, float) and is_number:
            value = float(value)  # type: ignore[arg-type]
        if type(value) is type(self.default) and self._is_allowed(value):
            return value
        raise InvalidInput(f"{label}={value!r}: allowed: {self.allowed}", field=label)

    def _is_allowed(self, value: object) -> bool:
        if self.choices is not None:
            return value in self.choices
        if isinstance(value, bool | str):
            return isinstance(value, bool)
        return math.isfinite(value) and self.low <= value <= self.high  # type: ignore[arg-type,operator]


def option(
    default: Scalar,
    *,
    help: str,
    choices: Sequence[Scalar] | None = None,
    low: float = -math.inf,
    high: float = math.inf,
    per_step: bool = False,
    genes: Sequence[Scalar] = (),
) -> Any:
    """A field of an options dataclass; see `OptionSpec`. Annotate per-step ones as tuples.

    Text options need `choices`.
    """
    spec = OptionSpec(
        default=default,
        choices=None if choices is None else tuple(choices),
        low=low,
        high=high,
        per_step=per_step,
        genes=tuple(genes),
        help=help,
    )
    return field(default=default, metadata={"spec": spec})


O = TypeVar("O", bound=Options)  # noqa: E741  the letter the field uses for options


def option_specs(kind: type[Options]) -> dict[str, OptionSpec]:
    """The declared options of a dataclass, by name."""
    return {f.name: f.metadata["spec"] for f in fields(kind)}


def resolve_options(kind: type[O], given: Mapping[str, object] | None, *, steps: int) -> O:
    """Options for a grid of `steps` steps: defaults filled in, per-step ones expanded to tuples.

    Args:
        kind: the solver's options dataclass.
        given: values by name, as JSON has them; lists for per-step options, or one value for all.
        steps: K, the number of steps of the grid.

    Raises:
        InvalidInput: unknown name, wrong type, a value that is not allowed, or a list that is not
            as long as the grid. Names the option as `options.NAME` or `options.NAME[i]`.
    """
    specs, given = option_specs(kind), given or {}
    for name in given:
        if name not in specs:
            allowed = ", ".join(specs) or "none, this solver has no options"
            raise InvalidInput(
                f"options.{name}: no such option; allowed: {allowed}", field=f"options.{name}"
            )
    values: dict[str, Any] = {
        name: _expanded(spec, given.get(name, spec.default), f"options.{name}", steps)
        for name, spec in specs.items()
    }
    resolved = kind(**values)
    resolved.check(steps)
    return resolved


def options_to_dict(options: Options) -> dict[str, OptionValue]:
    """Every option with its value, defaults included; tuples for per-step ones."""
    return {name: getattr(options, name) for name in option_specs(type(options))}


def changed_options(options: Options) -> dict[str, OptionValue]:
    """The options that differ from their defaults: equal behaviour gives equal mappings."""
    specs = option_specs(type(options))
    return {
        name: value
        for name, value in options_to_dict(options).items()
        if any(
            one != specs[name].default for one in (value if isinstance(value, tuple) else (value,))
        )
    }


def _expanded(spec: OptionSpec, value: object, label: str, steps: int) -> OptionValue:
    if not spec.per_step:
        return spec.read(value, label)
    if not isinstance(value, list | tuple):
        return (spec.read(value, label),) * steps
    if len(value) != steps:
        raise InvalidInput(
            f"{label}: {len(value)} values; allowed: one, or {steps}, one for each step",
            field=label,
        )
    return tuple(spec.read(one, f"{label}[{i}]") for i, one in enumerate(value))
