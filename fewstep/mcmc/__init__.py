"""Denoising MCMC: chains of pairs (state, noise level), denoised from where they are.

Instead of walking down from pure noise for every sample, a set of Markov chains is kept at moderate
noise; a few Langevin steps give new pairs, and a short run from each pair's own level a sample.
This module and what it imports do without torch.

Ref: Kim, Ye 2023, "Denoising MCMC for Accelerating Diffusion-Based Generative Models".
"""

from __future__ import annotations

from fewstep.mcmc.classes import class_grid, time_class_grid
from fewstep.mcmc.relative import RelativeTimes, geometric_levels, karras_levels, relative_times
from fewstep.mcmc.settings import DLGSettings

__all__ = [
    "DLGSettings",
    "RelativeTimes",
    "class_grid",
    "geometric_levels",
    "karras_levels",
    "relative_times",
    "time_class_grid",
]
