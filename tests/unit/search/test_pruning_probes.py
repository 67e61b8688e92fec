"""Probes of steps, and what grows from a step whose network is the weaker one."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest

from evaluators.banks import Bank
from evaluators.score import Ask, Score
from search.pruning import prune
from search.pruning_errors import step_errors
from search.pruning_plan import PrunedGenome
from search.pruning_probes import STRIDES, around, deeper, first_probe, probes, weakest
from search.pruning_seeds import alike
from space.architectures import ArchitectureGenome, Mode
from tests.unit.search.analytic import play
from tests.unit.search.pruning_cases import BEST, STEPS, plan_of, survey, value

BEST_ERROR = 3.0


def errors_of(genome: ArchitectureGenome, mode: Mode = "steps") -> list[float]:
    """By the survey, step by step."""
    space = plan_of(mode).space
    rows = step_errors(space.decode(genome, survey().rankings), space, survey())
    return [math.fsum(row) for row in rows]


@pytest.mark.parametrize("count", [2, 3, 4, 9])
def test_probes_cut_one_run_of_steps_each_and_all_steps_once(count: int) -> None:
    plan = plan_of("steps")
    found = probes(plan.bounded, plan.survey, count)
    assert len(found) == min(count, STEPS)
    cut = [[error > 0.0 for error in errors_of(genome)] for genome in found]
    assert [sum(column) for column in zip(*cut, strict=True)] == [1] * STEPS
    for genome, own in zip(found, cut, strict=True):
        share = plan.bounded.costs.share(genome)
        assert 1.0 - 0.6 * sum(own) / STEPS <= share < 1.0 - 0.3 * sum(own) / STEPS
        assert plan.bounded.holds(genome)


def test_probes_keep_the_limits_of_a_generation() -> None:
    plan = plan_of("steps")
    bounded = plan.bounded.at_generation(0, max_saving=0.4)
    found = [*probes(bounded, plan.survey, 4), first_probe(bounded, plan.survey)]
    assert all(genome is not None and bounded.holds(genome) for genome in found)


def test_bands_are_probed_up_to_the_last_step_and_one_network_for_all_is_not() -> None:
    plan = plan_of("bands")
    found = probes(plan.bounded, plan.survey, 3)
    assert all(plan.bounded.holds(genome) for genome in found)
    cut = [[error > 0.0 for error in errors_of(genome, "bands")] for genome in found]
    assert cut == [[True, True, False, False], [False, False, True, True], [False] * 3 + [True]]
    shared = plan_of("shared")
    assert probes(shared.bounded, shared.survey, 3) == []
    assert first_probe(shared.bounded, shared.survey) is None


def test_the_weakest_steps_are_those_whose_configuration_errs_most_in_all() -> None:
    plan = plan_of("steps")
    genome = probes(plan.bounded, plan.survey, STEPS)[2]
    assert weakest(plan.bounded, plan.survey, genome) == [False, False, True, False]


def test_strides_make_the_weakest_steps_err_about_so_much_more_or_less() -> None:
    plan = plan_of("steps", least=0.1)
    genome = probes(plan.bounded, plan.survey, STEPS)[1]
    before = sum(errors_of(genome))
    found = [errors_of(other) for other in deeper(plan.bounded, plan.survey, genome)]
    assert len(found) >= 3
    for errors in found:
        assert [error > 0.0 for error in errors] == [False, True, False, False]
    totals = [sum(errors) / before for errors in found]
    assert totals == sorted(totals, reverse=True), "the boldest first"
    assert totals[0] > 1.5
    assert totals[-1] < 1.0
    assert max(totals) <= STRIDES[0]


@pytest.mark.parametrize("mode", ["bands", "steps"])
def test_around_the_weakest_steps_the_others_are_cut_and_these_stay(mode: Mode) -> None:
    plan = plan_of(mode)
    genome = first_probe(plan.bounded, plan.survey)
    assert genome is not None
    factors = [[1.0] * len(plan.space.blocks)] * 3 + [[0.01] * len(plan.space.blocks)]
    path = around(plan.bounded, plan.survey, genome, factors)
    kept = genome.widths[genome.of_step[0]]
    assert len(path) > 10
    assert all(plan.space.holds(other) for other in path)
    assert all(other.widths[other.of_step[0]] == kept for other in path)
    shares = [plan.bounded.costs.share(other) for other in path]
    assert all(a >= b for a, b in pairwise(shares))
    assert shares[-1] < 0.6 < shares[0]
    if mode == "steps":
        assert all(other.of_step == (0, 1, 1, 2) for other in path), "the last loses least"


def test_steps_that_lose_alike_are_grouped() -> None:
    losses = [3.0, 0.1, 2.9, -8.0, 0.2]
    assert alike(losses, [True] * 5, 3) == [2, 1, 2, 0, 1]
    assert alike(losses, [False, True, True, True, True], 2) == [0, 1, 1, 0, 1]
    assert alike(losses, [True] * 5, 1) == [0] * 5


def guided(ask: Ask) -> Score:
    """A FID that a weaker first step makes better, up to a point; all other errors do harm."""
    candidate, space = ask.candidate, plan_of("steps").space
    rows = step_errors(candidate.architecture, space, survey())
    first, *others = (math.fsum(row) for row in rows)
    amount = first / BEST_ERROR
    full = value(replace(candidate, architecture=None))
    fid = 4.0 * full * math.exp(-amount * math.exp(1.0 - amount)) + 0.3 * sum(others)
    return Score(fid, None, ask.num_samples * STEPS)


@pytest.mark.parametrize("most", [1.0, 0.8])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_step_that_is_better_weak_is_found_and_made_as_weak_as_is_best(
    seed: int, most: float
) -> None:
    plan = plan_of("steps", seed=seed, most=most)
    outcome, _ = play(prune(plan), guided)
    full = PrunedGenome(BEST, plan.space.full)
    whole = guided(Ask(plan.candidate(full), bank=Bank("search"), num_samples=128)).fid
    assert whole is not None
    best = outcome.points[0]
    rows = step_errors(best.candidate.architecture, plan.space, plan.survey)
    assert 0.5 * BEST_ERROR < math.fsum(rows[0]) < 2.0 * BEST_ERROR
    assert best.fid < 0.55 * whole, (best.fid, whole)
