"""Stage 2 on a known function: a small network's blocks, a survey, and a FID that follows both.

The survey is right about which units matter in a block, and wrong by a factor for each block, as
surveys are: the search must find that out.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from evaluators.price import Price
from evaluators.score import Ask, Score
from fewstep.networks.pruning.blocks import PrunableBlock
from fewstep.networks.pruning.calibration_plan import CalibrationPlan
from search.pruning_errors import block_errors, place_errors
from search.pruning_plan import PruningPlan
from space.architecture_cost import GenomeCosts
from space.architecture_limits import BoundedSpace
from space.architecture_seeds import Errors
from space.architectures import ArchitectureSpace, Mode
from space.candidate import Candidate
from space.survey import BandSurvey, Survey
from space.timesteps import Genome, TimestepSpace
from tests.unit.search.analytic import process
from tests.unit.space.architecture_cases import costs_of, space_of

STEPS = 4
BEST: Genome = (657, 514, 258, 18)
OTHER: Genome = (900, 600, 300, 20)


@lru_cache
def times_space() -> TimestepSpace:
    """Four steps of the bundled model's process."""
    return TimestepSpace(process(), "ddim", STEPS)


def architectures(mode: Mode = "shared", *, bodiless: bool = True) -> ArchitectureSpace:
    """The blocks of a small network."""
    return space_of("small", mode, STEPS, bodiless=bodiless)


def costs(mode: Mode = "shared", *, bodiless: bool = True) -> GenomeCosts:
    """Their multiply-adds."""
    return costs_of(architectures(mode, bodiless=bodiless), "small", (1,) * STEPS)


@lru_cache
def survey() -> Survey:
    """Units of very unlike errors, other ones in each band; bodies worth most of their units.

    A body of the step before stands in for most of one.
    """
    blocks = architectures().blocks
    calibration = CalibrationPlan(solver="ddim", times=times_space().candidate(BEST).times)
    bands = tuple(_band(blocks, band) for band in range(3))
    return Survey(calibration=calibration, importance="sensitivity", repair="ridge", bands=bands)


def _band(blocks: tuple[PrunableBlock, ...], band: int) -> BandSurvey:
    errors = {
        block.name: tuple(
            (3 - band) * draw(f"{block.name}.{unit}") ** 3 for unit in range(block.units)
        )
        for block in blocks
    }
    return BandSurvey(
        rankings={n: tuple(sorted(range(len(e)), key=lambda u: -e[u])) for n, e in errors.items()},
        kept_errors={name: _by_units_kept(own) for name, own in errors.items()},
        body_errors={name: 0.8 * sum(own) for name, own in errors.items()},
        reuse_errors={name: 0.1 * sum(own) for name, own in errors.items()},
    )


def _by_units_kept(errors: tuple[float, ...]) -> dict[int, float]:
    """What all but so many of the worst units err by; errors of units add up."""
    ascending = sorted(errors)
    return {kept: sum(ascending[: len(errors) - kept]) for kept in range(1, len(errors))}


def draw(text: str) -> float:
    """A number between 0 and 1 that the text decides."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 2**32


def plan_of(
    mode: Mode = "shared",
    *,
    bodiless: bool = True,
    least: float = 0.6,
    most: float = 1.0,
    bases: tuple[Genome, ...] = (BEST, OTHER),
    budget: int = 200 * 64 * STEPS,
    fidelities: tuple[int, ...] = (64, 128),
    num_points: int = 5,
    seed: int = 0,
) -> PruningPlan:
    """A plan over the small network."""
    space = architectures(mode, bodiless=bodiless)
    return PruningPlan(
        bounded=BoundedSpace(
            space=space,
            costs=costs(mode, bodiless=bodiless),
            least=0.0 if most < 1.0 else least,
            most=most,
        ),
        bases=tuple(times_space().candidate(genome) for genome in bases),
        times=times_space(),
        survey=survey(),
        fidelities=fidelities,
        budget=budget,
        price=Price(),
        calls_per_image=float(STEPS),
        num_points=num_points,
        seed=seed,
    )


def value(candidate: Candidate, num_samples: int = 128) -> float:
    """The stand-in FID: the distance of the times from the best ones, and true errors of blocks."""
    lams = [process().at(t).lam for t in candidate.times[:-1]]
    best = [times_space().lams[k] for k in BEST]
    base = 1.0 + 0.2 * sum((a - b) ** 2 for a, b in zip(lams, best, strict=True))
    errors = block_errors(candidate.architecture, architectures(), survey())
    total = sum(e * factor(b) for e, b in zip(errors, architectures().blocks, strict=True))
    return base + 0.3 * total + 64.0 / num_samples


def factor(block: PrunableBlock) -> float:
    """By how much the survey is wrong about a block."""
    return 0.3 + 2.7 * draw(f"truth {block.name}")


def true_errors(space: ArchitectureSpace) -> Errors:
    """What one configuration of all steps costs in truth, for each block at each place."""
    steps = place_errors(space, survey(), (0,) * STEPS)
    return {
        block.name: [
            factor(block) * sum(errors)
            for errors in zip(*(s[block.name] for s in steps), strict=True)
        ]
        for block in space.blocks
    }


def judge(ask: Ask) -> Score:
    """Every ask has a value."""
    return Score(value(ask.candidate, ask.num_samples), None, ask.num_samples * STEPS)


def fail_some(ask: Ask) -> Score:
    """About a third of the candidates fail, always the same ones."""
    if int(ask.candidate.key[:2], 16) % 3 == 0:
        return Score(None, "3 of 64 images are not finite", ask.num_samples * STEPS)
    return judge(ask)


def fail_pruned(ask: Ask) -> Score:
    """Every cut breaks the network."""
    if ask.candidate.architecture is not None:
        return Score(None, "64 of 64 images are not finite", ask.num_samples * STEPS)
    return judge(ask)
