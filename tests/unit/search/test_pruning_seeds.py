"""Errors of reused bodies, and the seeds that steps in turn bring."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fewstep.networks.pruning.architecture import Architecture
from fewstep.networks.pruning.configuration import BlockChoice, NetworkConfiguration
from search.pruning import prune
from search.pruning_errors import block_errors, choice_error, place_errors, reuses
from search.pruning_plan import PrunedGenome, PruningPlan
from search.pruning_seeds import (
    by_error,
    cheapest_above,
    greedy_paths,
    opening_seeds,
    patterns,
)
from space.architecture_seeds import greedy_path, uniform_seeds
from space.architectures import ArchitectureGenome, Mode
from space.survey import BandSurvey
from tests.unit.search.analytic import play
from tests.unit.search.pruning_cases import BEST, STEPS, judge, plan_of, survey

NAME = "input_blocks.1.0"
FULL = NetworkConfiguration()
REUSED = NetworkConfiguration.of({NAME: BlockChoice("reused")})
REMOVED = NetworkConfiguration.of({NAME: BlockChoice("removed")})


def band(reused: float | None) -> BandSurvey:
    """One whose body's removal errs by 1."""
    reuse = {} if reused is None else {NAME: reused}
    return BandSurvey(rankings={}, kept_errors={}, body_errors={NAME: 1.0}, reuse_errors=reuse)


def test_a_reused_body_errs_more_the_older_it_is_but_no_more_than_a_removed_one() -> None:
    reused = BlockChoice("reused")
    by_age = [choice_error(band(0.15), NAME, reused, age=age) for age in (1, 2, 3)]
    assert by_age == pytest.approx([0.15, 0.6, 1.0])
    assert choice_error(band(None), NAME, reused) == 1.0, "not measured"
    assert choice_error(band(1.5), NAME, reused, age=2) == 1.5, "as measured, though it is worse"
    assert choice_error(band(0.15), NAME, BlockChoice("removed")) == 1.0


def test_the_age_of_a_body_is_counted_from_the_last_step_that_ran_it() -> None:
    architecture = Architecture.of_steps([FULL, REUSED, REMOVED, REUSED])
    assert list(reuses(architecture)) == [(1, NAME, 1), (3, NAME, 3)]
    in_turn = Architecture.of_steps([FULL, REUSED, FULL, REUSED])
    assert list(reuses(in_turn)) == [(1, NAME, 1), (3, NAME, 1)]
    space = plan_of("steps").space
    old, new = (sum(block_errors(a, space, survey())) for a in (architecture, in_turn))
    bands = survey().by_step
    assert new == pytest.approx(bands[1].reuse_errors[NAME] + bands[3].reuse_errors[NAME])
    assert old > new


def test_only_the_first_configuration_is_relied_on_to_run_what_others_reuse() -> None:
    space = plan_of("steps").space
    ladder = next(ladder for ladder in space.ladders if ladder.block.name == NAME)
    reused = len(ladder.units)
    in_turn, in_runs = (
        [step[NAME][reused] for step in place_errors(space, survey(), of_step)]
        for of_step in ((0, 1, 0, 1), (0, 1, 1, 2))
    )
    bands = survey().by_step
    assert in_turn == [b.reuse_errors[NAME] for b in (bands[0], bands[1])] + [
        choice_error(bands[2], NAME, BlockChoice("reused"), age=2),
        bands[3].reuse_errors[NAME],
    ]
    assert in_runs[2] == choice_error(bands[2], NAME, BlockChoice("reused"), age=2)
    assert in_runs[3] == bands[3].body_errors[NAME] > bands[3].reuse_errors[NAME]


@pytest.mark.parametrize(
    ("mode", "bodiless", "found"),
    [("shared", True, 1), ("bands", True, 2), ("steps", True, 4), ("steps", False, 2)],
)
def test_steps_take_turns_where_they_may_and_bodies_can_be_reused(
    mode: Mode, bodiless: bool, found: int
) -> None:
    plan = plan_of(mode, bodiless=bodiless)
    every = patterns(plan.space)
    assert len(every) == found
    assert ({(0, 1, 0, 1), (0, 1, 0, 2)} <= set(every)) == (found == 4)
    assert len(greedy_paths(plan.bounded, plan.survey)) == found + (found == 4)


def places_of(plan: PruningPlan, genome: ArchitectureGenome) -> list[set[str]]:
    """For each configuration what its blocks are."""
    return [
        {
            "full" if not place else "reused" if ladder.is_reused(place) else "cut"
            for place, ladder in zip(widths, plan.space.ladders, strict=True)
        }
        for widths in genome.widths
    ]


def test_one_path_does_nothing_but_reuse_the_cheapest_errors_first() -> None:
    plan = plan_of("steps")
    *_, in_turn, _, pure = greedy_paths(plan.bounded, plan.survey)
    assert all(plan.space.holds(genome) for genome in pure)
    assert all(genome.of_step == (0, 1, 0, 1) for genome in (*in_turn, *pure))
    assert all(places_of(plan, genome)[0] == {"full"} for genome in pure)
    assert places_of(plan, pure[0])[1] == {"full"}
    assert all(places_of(plan, genome)[1] <= {"full", "reused"} for genome in pure)
    assert places_of(plan, pure[-1])[1] == {"reused"}
    costs = plan.bounded.costs
    shares = [costs.share(genome) for genome in pure]
    totals = [
        sum(block_errors(plan.space.decode(g, survey().rankings), plan.space, survey()))
        for g in pure
    ]
    rates = [
        (totals[i + 1] - totals[i]) / (shares[i] - shares[i + 1]) for i in range(len(pure) - 1)
    ]
    assert rates == pytest.approx(sorted(rates)), rates
    assert any("cut" in places_of(plan, genome)[0] for genome in in_turn), "the other cuts too"


def test_paths_keep_nothing_that_errs_more_than_something_smaller_of_them() -> None:
    plan, of_step = plan_of("steps"), (0, 1, 0, 1)
    errors = place_errors(plan.space, plan.survey, of_step)

    def error(genome: ArchitectureGenome) -> float:
        return sum(
            own[ladder.block.name][place]
            for own, c in zip(errors, of_step, strict=True)
            for ladder, place in zip(plan.space.ladders, genome.widths[c], strict=True)
        )

    whole = [error(genome) for genome in greedy_path(plan.bounded, errors, of_step)]
    assert whole != sorted(whole), "it passes through widths that err more than a reused body"
    *_, in_turn, _, _ = greedy_paths(plan.bounded, plan.survey)
    kept = [error(genome) for genome in in_turn]
    assert kept == sorted(kept)
    assert set(kept) < set(whole)
    assert (kept[0], kept[-1]) == (whole[0], whole[-1])


def test_seeds_that_err_least_come_first_with_reuse_and_uniform_ratios_in_between() -> None:
    plan = plan_of("steps")
    bounded = plan.bounded.at_generation(1, max_saving=0.4)
    cheap = tuple(
        replace(b, reuse_errors={name: 0.01 * e for name, e in b.reuse_errors.items()})
        for b in survey().bands
    )
    told = replace(survey(), bands=cheap)
    paths = greedy_paths(bounded, told)
    seeds = opening_seeds(bounded, paths, 0.92, lambda cuts: by_error(cuts, plan.space, told))
    *greedy, reuse = (cheapest_above(path, bounded, bounded.least) for path in paths)
    ends = [genome for genome in seeds if genome in set(greedy)]
    assert len(ends) >= 3
    assert by_error(ends, plan.space, told) == ends
    assert seeds[:3] == [ends[0], reuse, uniform_seeds(bounded)["uniform-7/8"]]
    assert len(seeds[0].widths) > 1, "reuse in turn errs least"
    assert len(seeds[0].of_step) == STEPS


def test_where_few_seeds_fit_pure_reuse_is_among_the_cheapest() -> None:
    plan = plan_of("steps", budget=16 * 64 * STEPS, num_points=3)
    _, played = play(prune(plan), judge)
    screened = {ask.candidate for ask in played.asks}
    *_, reuse = (cheapest_above(p, plan.bounded, 0.6) for p in greedy_paths(plan.bounded, survey()))
    assert plan.candidate(PrunedGenome(BEST, reuse)) in screened
