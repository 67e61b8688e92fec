"""Grids on the indices of a table of training times, as the tools round them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

# (training times of the table, steps) -> indices from noise to data.
IndexGrid: TypeAlias = Callable[[int, int], list[int]]


def leading(n: int, steps: int) -> list[int]:
    """Multiples of the whole stride. Ref: diffusers, `timestep_spacing="leading"`."""
    stride = n // steps
    return [(steps - 1 - i) * stride for i in range(steps)]


def trailing(n: int, steps: int) -> list[int]:
    """From the last index down in equal strides. Ref: diffusers; Lin et al. 2023, section 3.3."""
    return [round(n - i * n / steps) - 1 for i in range(steps)]


def linspace(n: int, steps: int) -> list[int]:
    """Both ends, and even strides between. Ref: diffusers, `timestep_spacing="linspace"`."""
    last = n - 1
    return [round(last * (1.0 - i / max(steps - 1, 1))) for i in range(steps)]


def simple(n: int, steps: int) -> list[int]:
    """As trailing, rounded the other way. Ref: ComfyUI, its simple scheduler."""
    return [n - 1 - (i * n) // steps for i in range(steps)]
