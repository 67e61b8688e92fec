"""Options of networks from JSON fields, and the messages of those that are not allowed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

from fewstep.errors import InvalidInput

LISTS = ("attention_resolutions", "channel_mult")
_FLAGS = (
    "conv_resample",
    "use_scale_shift_norm",
    "resblock_updown",
    "use_new_attention_order",
)
_WORDS = ("pool",)


def typed_fields(cls: type[Any], values: Mapping[str, object]) -> dict[str, Any]:
    """The keyword arguments that JSON fields give a dataclass of network options.

    Raises:
        InvalidInput: a field is unknown, missing or of the wrong type.
    """
    known = {field.name: field for field in fields(cls)}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise InvalidInput(
            f"architecture.{unknown[0]}: unknown field; allowed: {', '.join(sorted(known))}",
            field="architecture",
        )
    missing = [name for name, field in known.items() if _is_required(field) and name not in values]
    if missing:
        raise InvalidInput(
            f"architecture.{missing[0]}: missing; needed: {', '.join(missing)}",
            field="architecture",
        )
    return {name: _typed(name, value) for name, value in values.items()}


def bad_option(name: str, value: object, allowed: str) -> InvalidInput:
    """The error of an option whose value is not allowed."""
    return InvalidInput(f"architecture.{name}={value!r}: must be {allowed}", field="architecture")


def check_counts(options: object, names: Collection[str], *, may_be_none: bool = False) -> None:
    """Refuse options that are no integers from 1 to 65536.

    Raises:
        InvalidInput: names the first.
    """
    for name in names:
        value = getattr(options, name)
        if value is None and may_be_none:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 65_536:
            raise bad_option(name, value, "an integer from 1 to 65536")


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _typed(name: str, value: object) -> object:
    if name in LISTS:
        if isinstance(value, list | tuple) and all(_is_number(item) for item in value):
            return tuple(value)
        raise bad_option(name, value, "a list of numbers")
    if name in _FLAGS:
        if isinstance(value, bool):
            return value
        raise bad_option(name, value, "true or false")
    if name in _WORDS:
        if isinstance(value, str):
            return value
        raise bad_option(name, value, "a name")
    if value is None or _is_number(value):
        return value
    raise bad_option(name, value, "a number")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
