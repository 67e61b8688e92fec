"""What the published scripts of AutoDiffusion set, and what paper mode costs."""

from __future__ import annotations

from dataclasses import dataclass

from evaluators.price import calls_for
from space.timesteps import TimestepSpace

POPULATION = 50
ELITE = 10
GENERATIONS = 10
LAYER_GENERATIONS = 15
"""Where layers are left out too, times alone are searched first."""

UNIFORM_AND_RANDOM = 26
SEED_MUTATION_RATE = 0.1
ATTEMPTS = 10
"""A child is redrawn while its genome was seen, at most this many times the children wanted."""

MIN_IMAGES = 2


@dataclass(frozen=True, slots=True)
class Settings:
    """Children per generation, mutation rate and images per evaluation of one published script."""

    mutants: int
    crossovers: int
    rate: float
    images: int


def settings_of(space: TimestepSpace) -> Settings:
    """The script nearest to a space: ImageNet-64 up to 4 steps, LSUN above, Stable Diffusion.

    Images per evaluation: 5000 at 4 steps, 3000 at 5, 1000 at 10 as published; between, the next
    smaller published number of steps decides.
    """
    images = 5000 if space.steps < 5 else 3000 if space.steps < 10 else 1000
    if space.solver != "ddim":
        return Settings(mutants=25, crossovers=10, rate=0.1, images=images)
    crossovers = 15 if space.steps < 5 else 10
    return Settings(mutants=25, crossovers=crossovers, rate=0.25, images=images)


def images_of(space: TimestepSpace, fraction: float) -> int:
    """Images per evaluation at a fraction of the published number."""
    return max(MIN_IMAGES, round(settings_of(space).images * fraction))


def calls_of(
    space: TimestepSpace,
    fraction: float,
    calls_per_image: float,
    *,
    generations: int = GENERATIONS,
) -> int:
    """Network calls of all generations."""
    return POPULATION * generations * calls_for(images_of(space, fraction), calls_per_image)
