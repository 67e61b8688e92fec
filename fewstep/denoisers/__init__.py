"""Adapters that turn any network into the one `Denoiser` that solvers evaluate."""

from __future__ import annotations

from fewstep.denoisers.base import Denoiser, StackedLevel
from fewstep.denoisers.class_conditional import class_conditional
from fewstep.denoisers.mixture import GaussianMixture
from fewstep.denoisers.predictions import (
    from_denoised,
    from_noise,
    from_score,
    from_velocity,
)

__all__ = [
    "Denoiser",
    "GaussianMixture",
    "StackedLevel",
    "class_conditional",
    "from_denoised",
    "from_noise",
    "from_score",
    "from_velocity",
]
