"""What processes refuse: times outside, ratios and parameters that are no such numbers."""

from __future__ import annotations

from fewstep.errors import InvalidInput

# Keeps alpha above 0 where a process ends in pure noise: rho never exceeds 4096, as in diffusers.
ALPHA_FLOOR = 2.0**-12
# Parameters in this range keep every coefficient and ratio far from overflow.
SMALLEST, LARGEST = 1e-6, 1e6


def check_time(t: float, t_max: float) -> float:
    """`t` itself, where it lies in [0, t_max].

    Raises:
        InvalidInput: it does not, or is no number.
    """
    if not 0.0 <= t <= t_max:
        raise InvalidInput(f"t={t!r}: outside the process; allowed: 0 to {t_max:g}", field="t")
    return float(t)


def check_rho(rho: float) -> float:
    """`rho` itself, where it is 0 or more.

    Raises:
        InvalidInput: it is negative or no number.
    """
    if not rho >= 0.0:
        raise InvalidInput(f"rho={rho!r}: allowed: 0 and more", field="rho")
    return float(rho)


def check_positive(name: str, value: object) -> float:
    """A parameter that must be a number in a range no real model leaves.

    Raises:
        InvalidInput: it is not; names the parameter.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not SMALLEST <= value <= LARGEST:  # type: ignore[operator]
        raise InvalidInput(
            f"{name}={value!r}: allowed: numbers from {SMALLEST:g} to {LARGEST:g}", field=name
        )
    return float(value)  # type: ignore[arg-type]
