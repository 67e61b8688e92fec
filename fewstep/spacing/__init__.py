"""Closed-form time grids, named and by parameter: the baselines of every search, and its seeds.

A grid of K steps lists K noise levels to evaluate and the clean level 0 after them. Continuous
formulas come in two variants: the plain name spreads K points from the noisiest to the least noisy
level, which is then followed by the jump to 0 (as samplers in tools do); the variant `-to-clean`
spreads K + 1 points and replaces the last by 0 (as in papers). On a table process their points are
rounded to its indices; `leading`, `linspace`, `simple` and `trailing` exist on tables only.

Ref: Karras et al. 2022 (EDM), eq. 5; Nichol, Dhariwal 2021; Lu et al. 2022; Sabour et al. 2024;
SciRE-Solver; the discrete spacings as in diffusers (leading, linspace, trailing) and ComfyUI
(simple, beta).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from fewstep.errors import InvalidInput
from fewstep.process import Process, VPDiscrete
from fewstep.registry import Registry
from fewstep.spacing import curves, discrete
from fewstep.spacing.curves import Curve
from fewstep.spacing.points import check_steps, closed, curve_points

__all__ = [
    "SPACINGS",
    "arctan_grid",
    "beta_grid",
    "grid",
    "karras_grid",
    "named_grids",
    "nsr_grid",
    "power_grid",
]

# (process, steps) -> times of the points to evaluate, from noise to data.
Spacing: TypeAlias = Callable[[Process, int], list[float]]

SPACINGS: Registry[Spacing] = Registry("spacing")


def grid(name: str, process: Process, steps: int) -> tuple[float, ...]:
    """Process times of a named grid: `steps` times to evaluate and 0, strictly decreasing.

    Raises:
        UnknownName: no such spacing.
        InvalidInput: the process has no such grid, or two of its points round to one index.
    """
    check_steps(process, steps)
    points = SPACINGS.get(name, field="spacing")(process, steps)
    return closed(points, process, label=f"spacing={name!r}")


def named_grids(process: Process, steps: int) -> dict[str, tuple[float, ...]]:
    """Every named grid that exists for this process and this many steps, by name."""
    grids: dict[str, tuple[float, ...]] = {}
    for name in SPACINGS.names():
        try:
            grids[name] = grid(name, process, steps)
        except InvalidInput:
            continue  # it needs a table, or its points fall together at this many steps
    return grids


def power_grid(
    process: Process, steps: int, exponent: float, *, to_clean: bool = False
) -> tuple[float, ...]:
    """Times uniform in t^(1/exponent): 1 uniform, 2 quadratic; see `curves.power`.

    Args:
        process: the noise process.
        steps: times to evaluate.
        exponent: 0.1 to 100; above 1 it puts more points at low noise.
        to_clean: whether the clean level is the last point of the spread, or one more after it.

    Raises:
        InvalidInput: a value is not allowed, or two points round to one index.
    """
    return _grid_of(curves.power(exponent), process, steps, to_clean, f"exponent={exponent!r}")


def karras_grid(
    process: Process, steps: int, exponent: float = 7.0, *, to_clean: bool = False
) -> tuple[float, ...]:
    """Times uniform in rho^(1/exponent), 0.1 to 100; the rest as in `power_grid`."""
    return _grid_of(curves.karras(exponent), process, steps, to_clean, f"exponent={exponent!r}")


def nsr_grid(
    process: Process, steps: int, k: float = 3.1, *, to_clean: bool = False
) -> tuple[float, ...]:
    """Times uniform in ln(rho + k rho_min), 0 (log-SNR) to 1e12 (uniform in rho).

    The rest as in `power_grid`; the formula: `curves.nsr`.
    """
    return _grid_of(curves.nsr(k), process, steps, to_clean, f"k={k!r}")


def arctan_grid(
    process: Process, steps: int, width: float = 1.0, *, to_clean: bool = False
) -> tuple[float, ...]:
    """Times uniform in arctan(rho / width), for data of that standard deviation.

    The rest as in `power_grid`; the formula: `curves.arctan`.
    """
    return _grid_of(curves.arctan(width), process, steps, to_clean, f"width={width!r}")


def beta_grid(
    process: Process, steps: int, a: float = 0.6, b: float = 0.6, *, to_clean: bool = False
) -> tuple[float, ...]:
    """Times at quantiles of Beta(a, b), both from 0.5 to 10; the rest as in `power_grid`."""
    return _grid_of(curves.beta(a, b), process, steps, to_clean, f"a={a!r}, b={b!r}")


def _grid_of(
    curve: Curve, process: Process, steps: int, to_clean: bool, label: str
) -> tuple[float, ...]:
    check_steps(process, steps)
    points = curve_points(curve, process, steps, to_clean=to_clean)
    return closed(points, process, label=label)


def _register_curve(name: str, curve: Curve) -> None:
    """Register both variants of a formula."""
    SPACINGS.register(name, lambda p, steps: curve_points(curve, p, steps, to_clean=False))
    SPACINGS.register(
        f"{name}-to-clean", lambda p, steps: curve_points(curve, p, steps, to_clean=True)
    )


def _register_indices(name: str, indices: discrete.IndexGrid) -> None:
    """Register a grid of table processes."""

    def spacing(process: Process, steps: int) -> list[float]:
        if not isinstance(process, VPDiscrete):
            raise InvalidInput(
                f"spacing={name!r}: needs a table of training times, not {process.family!r}; "
                f"allowed: {VPDiscrete.family}",
                field="spacing",
            )
        return [process.time_of(k) for k in indices(process.num_train_timesteps, steps)]

    SPACINGS.register(name, spacing)


_register_indices("leading", discrete.leading)
_register_indices("linspace", discrete.linspace)
_register_indices("simple", discrete.simple)
_register_indices("trailing", discrete.trailing)
_register_curve("uniform-t", curves.power(1.0))
_register_curve("quadratic-t", curves.power(2.0))
_register_curve("cubic-t", curves.power(3.0))
_register_curve("beta-0.6", curves.beta(0.6, 0.6))
_register_curve("log-snr", curves.log_snr())
_register_curve("nsr-3.1", curves.nsr(3.1))
_register_curve("karras-7", curves.karras(7.0))
_register_curve("polyexponential-2", curves.polyexponential(2.0))
_register_curve("cosine-lam", curves.arctan(1.0))  # the same points under its other name
for _width in (0.5, 0.7, 1.0):
    _register_curve(f"arctan-{_width}", curves.arctan(_width))
