"""What a survey says of architectures: the error of each block at each place of its ladder.

Errors of blocks and of steps are taken to add up, and those of reused bodies to grow with the
square of their age. They do not, quite; what is scored corrects them (search/pruning_predictor.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from fewstep.errors import InvalidInput
from fewstep.networks.pruning.architecture import Architecture
from fewstep.networks.pruning.configuration import BlockChoice
from space.architecture_seeds import Errors
from space.architectures import ArchitectureGenome, ArchitectureSpace
from space.survey import BandSurvey, Survey


def choice_error(band: BandSurvey, name: str, choice: BlockChoice | None, *, age: int = 1) -> float:
    """What a choice for one block does to the output in a band; None is the full block.

    Args:
        band: what was measured.
        name: the block's.
        choice: what is left of it.
        age: how many steps ago a reused body was run.
    """
    if choice is None:
        return 0.0
    if not choice.has_body:
        removed = band.body_errors[name]
        reused = band.reuse_errors.get(name, removed) if choice.mode == "reused" else removed
        # Measured for a body of the call before. States move on evenly, to first order, but a body
        # however old seldom is worse than none.
        return max(reused, min(reused * age**2, removed))
    # Steps of other bands may have a say in which units are kept; how many says most of it.
    return band.kept_errors[name].get(len(choice.kept), 0.0)


def place_errors(
    space: ArchitectureSpace, survey: Survey, of_step: Sequence[int]
) -> list[dict[str, list[float]]]:
    """For each step the error of each block at each place, for `greedy_path`.

    Args:
        space: whose ladders.
        survey: what was measured.
        of_step: the configuration of each step: units go in an order that is common to its steps.
    """
    count, deepest = max(of_step) + 1, max(len(ladder.units) for ladder in space.ladders)
    found: list[dict[str, list[float]]] = [{} for _ in survey.by_step]
    for place in range(deepest):
        widths = tuple(min(place, len(ladder.units) - 1) for ladder in space.ladders)
        genome = ArchitectureGenome((widths,) * count, tuple(of_step))
        architecture = space.decode(genome, survey.rankings)
        for step, band in enumerate(survey.by_step):
            for ladder in space.ladders:
                name = ladder.block.name
                if place < len(ladder.units):
                    error = choice_error(band, name, architecture.at(step).get(name))
                    found[step].setdefault(name, []).append(error)
    for step, band in enumerate(survey.by_step):
        # As if the first configuration alone ran the bodies: whether others do is still open.
        runs = (earlier for earlier in range(step) if of_step[earlier] == of_step[0])
        age = step - max(runs, default=step - 1)
        for ladder in space.ladders:
            name = ladder.block.name
            found[step][name] += [
                choice_error(band, name, BlockChoice(mode), age=age) for mode in ladder.bodiless
            ]
    return found


def step_errors(
    architecture: Architecture | None, space: ArchitectureSpace, survey: Survey
) -> tuple[tuple[float, ...], ...]:
    """What an architecture does to each block, step by step, shape (steps, blocks)."""
    names = {block.name: place for place, block in enumerate(space.blocks)}
    found = [[0.0] * len(names) for _ in range(space.steps)]
    if architecture is not None:
        bands = survey.by_step
        for step, place in enumerate(architecture.of_step):
            for name, choice in architecture.configurations[place].choices:
                if choice.mode != "reused":
                    found[step][names[name]] = choice_error(bands[step], name, choice)
        for step, name, age in reuses(architecture):
            reused = BlockChoice("reused")
            found[step][names[name]] = choice_error(bands[step], name, reused, age=age)
    return tuple(map(tuple, found))


def block_errors(
    architecture: Architecture | None, space: ArchitectureSpace, survey: Survey
) -> tuple[float, ...]:
    """What an architecture does to each block, in sum over its steps."""
    steps = step_errors(architecture, space, survey)
    return tuple(map(math.fsum, zip(*steps, strict=True)))


def reuses(architecture: Architecture) -> Iterator[tuple[int, str, int]]:
    """Step, block and age in steps of every body that is reused."""
    every = sorted({name for c in architecture.configurations for name in c.reused})
    for name in every:
        ran = 0
        for step in range(len(architecture.of_step)):
            choice = architecture.at(step).get(name)
            if choice is None or choice.has_body:
                ran = step
            elif choice.mode == "reused":
                yield step, name, step - ran


def sensitivity_of(space: ArchitectureSpace, survey: Survey) -> tuple[float, ...]:
    """For each block the mean error over the steps at the last place of its ladder."""
    errors: list[Errors] = list(place_errors(space, survey, (0,) * space.steps))
    return tuple(
        sum(step[block.name][-1] for step in errors) / len(errors) for block in space.blocks
    )


def check_survey(space: ArchitectureSpace, survey: Survey) -> None:
    """Hold a survey against the blocks and steps of a space.

    Raises:
        InvalidInput: another number of steps, or a block whose units or body were not measured.
    """
    if survey.calibration.steps != space.steps:
        raise _bad("calibration.times", survey.calibration.steps, f"{space.steps} steps")
    for place, band in enumerate(survey.bands):
        for ladder in space.ladders:
            name, units = ladder.block.name, ladder.block.units
            count, widths = len(band.rankings.get(name, ())), set(band.kept_errors.get(name, ()))
            if count != units:
                raise _bad(f"bands[{place}].{name}", count, f"ranks of {units} units")
            if missing := sorted(set(ladder.units[1:]) - widths):
                raise _bad(f"bands[{place}].kept_errors.{name}", sorted(widths), f"also {missing}")
            if ladder.bodiless and name not in band.body_errors:
                raise _bad(f"bands[{place}].body_errors.{name}", None, "an error")


def _bad(where: str, what: object, allowed: str) -> InvalidInput:
    return InvalidInput(f"survey.{where}={what!r}; allowed: {allowed}", field="survey")
