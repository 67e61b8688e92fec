"""Stage 2: pure, within budget and limits, unbroken by failures, and better than what is simple."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
import pytest

from fewstep.errors import InvalidInput
from fewstep.networks.pruning.blocks import adm_blocks
from search.ledger import Ledger
from search.pruning import prune
from search.pruning_errors import block_errors
from search.pruning_front import best_of_tiers, non_dominated
from search.pruning_plan import PrunedGenome, PruningOutcome, PruningPlan
from search.pruning_seeds import (
    budget_seeds,
    by_error,
    cheapest_above,
    greedy_paths,
    opening_seeds,
)
from space.architecture_cost import GenomeCosts, macs_share
from space.architecture_limits import INCREMENTS, BoundedSpace, next_place
from space.architecture_seeds import greedy_path
from space.architectures import MODES, ArchitectureGenome, ArchitectureSpace, Mode
from space.candidate import Candidate
from tests.unit.networks.pruning.test_configuration import IMAGENET_64
from tests.unit.search.analytic import Judge, Played, fail_all, play
from tests.unit.search.pruning_cases import (
    BEST,
    STEPS,
    fail_pruned,
    fail_some,
    judge,
    plan_of,
    true_errors,
    value,
)
from tests.unit.space.architecture_cases import NETWORKS

SMALL_BUDGET = 60 * 64 * STEPS


@lru_cache
def run(
    mode: Mode = "shared",
    *,
    most: float = 1.0,
    seed: int = 0,
    judge: Judge = judge,
    budget: int = SMALL_BUDGET,
) -> tuple[PruningPlan, PruningOutcome, Played]:
    """A search kept for all tests that look at it."""
    plan = plan_of(mode, most=most, seed=seed, budget=budget)
    return plan, *play(prune(plan), judge)


def screened(played: Played) -> list[Candidate]:
    """Those of the lowest rung, in order."""
    return [ask.candidate for ask in played.asks if ask.num_samples == 64]


def promoted(played: Played) -> list[Candidate]:
    """Those of the first batch on the rung above, in order."""
    batch = next(batch for batch in played.batches if batch[0].num_samples == 128)
    return [ask.candidate for ask in batch]


def share_of(candidate: Candidate) -> float:
    """Counted from the architecture, not from the genome."""
    return macs_share(candidate.architecture, *NETWORKS["small"], passes=(1,) * STEPS)


def volume(points: list[tuple[float, float]], reference: float = 10.0) -> float:
    """The area that a front dominates, below a FID and the full cost."""
    area, share = 0.0, 1.0
    for fid, following in sorted(points, key=lambda point: -point[1]):
        best = min((f for f, s in points if s <= share), default=reference)
        area += (share - following) * max(0.0, reference - best)
        share, _ = following, fid
    return area


def test_the_same_scores_give_the_same_asks_whatever_numpy_s_global_generator_holds() -> None:
    plan, outcome, played = run("steps")
    np.random.seed(1)
    before = np.random.get_state()
    again, replayed = play(prune(plan), judge)
    assert replayed.batches == played.batches
    assert again == outcome
    assert str(np.random.get_state()) == str(before)


def test_another_seed_asks_for_something_else() -> None:
    first, second = (run(seed=seed)[2].asks for seed in (0, 1))
    assert {ask.candidate for ask in first} != {ask.candidate for ask in second}


@pytest.mark.parametrize("most", [1.0, 0.75])
@pytest.mark.parametrize("mode", MODES)
def test_no_ask_is_repeated_and_every_architecture_is_canonical(mode: Mode, most: float) -> None:
    plan, outcome, played = run(mode, most=most)
    assert len(set(played.asks)) == len(played.asks)
    for ask in played.asks:
        architecture = ask.candidate.architecture
        if architecture is not None:
            assert architecture.normalised(plan.space.blocks, steps=STEPS) == architecture
    assert outcome.points


@pytest.mark.parametrize("budget", [64 * STEPS, 3000, 9_345])
def test_the_ledger_is_kept_to_the_call(budget: int) -> None:
    plan = plan_of(budget=budget)
    outcome, played = play(prune(plan), judge)
    ledger = Ledger(plan.calls_per_image)
    spent = sum(ledger.charge(ask) for ask in played.asks)
    assert spent == outcome.calls_spent <= budget
    assert spent > budget - 2 * 128 * STEPS, "the budget is used"
    assert bool(outcome.points) == (len(played.asks) > 1), "the full network is the first"


@pytest.mark.parametrize("mode", MODES)
def test_a_budget_of_cost_is_never_exceeded_and_nearly_used(mode: Mode) -> None:
    _, outcome, played = run(mode, most=0.75)
    shares = [share_of(ask.candidate) for ask in played.asks]
    assert max(shares) <= 0.75
    assert outcome.points[0].share > 0.72, "what may be spent is worth spending"
    assert outcome.points[0].fid == min(point.fid for point in outcome.points)


def test_the_saving_that_is_allowed_grows_in_five_parts() -> None:
    _, _, played = run()
    batches = [batch for batch in played.batches if batch[0].num_samples == 64]
    saved = [max(1.0 - share_of(ask.candidate) for ask in batch) for batch in batches]
    for i, saving in enumerate(saved):
        generation = i // 2  # its seeds, then its children
        assert saving <= 0.4 * min(generation + 1, 5) / 5 + 1e-12, (i, saved)
    assert max(saved[:10]) > 0.36, saved


def test_cuts_beyond_the_limit_are_never_asked_for() -> None:
    for mode in MODES:
        _, _, played = run(mode)
        assert min(share_of(ask.candidate) for ask in played.asks) >= 0.6


def test_points_are_the_best_of_each_tier_of_cost_by_the_most_images() -> None:
    plan, outcome, played = run("bands")
    points = outcome.points
    most = [ask.candidate for ask in played.asks if ask.num_samples == 128]
    tiers: dict[int, list[float]] = {}
    for candidate in most:
        if candidate.architecture is not None:
            tier = int((share_of(candidate) - 0.6) / 0.4 * plan.num_points)
            tiers.setdefault(tier, []).append(value(candidate))
    assert len(tiers) >= 4, "there is something to choose from"
    assert [point.fid for point in points] == sorted(min(fids) for fids in tiers.values())
    for point in points:
        assert point.num_samples == 128
        assert point.fid == value(point.candidate)
        assert point.share == share_of(point.candidate) < 1.0
        assert point.cost / plan.bounded.costs.full == point.share


def test_the_best_of_each_tier_of_cost_is_promoted() -> None:
    plan, _, played = run("steps")
    cuts = [c for c in screened(played) if c.architecture is not None]
    points = [(value(c, 64), share_of(c)) for c in cuts]
    best = {cuts[i] for i in best_of_tiers(points, plan.num_points, least=0.6)}
    assert len(best) >= 4
    assert best <= set(promoted(played))


def test_what_errs_least_of_each_tier_by_the_survey_is_promoted_too() -> None:
    plan, _, played = run("steps")
    ours = [c for c in screened(played) if c.times == plan.bases[0].times]
    cuts = [c for c in ours if c.architecture is not None]
    errors = [math.fsum(block_errors(c.architecture, plan.space, plan.survey)) for c in cuts]
    points = [(error, share_of(c)) for error, c in zip(errors, cuts, strict=True)]
    steady = {cuts[i] for i in best_of_tiers(points, plan.num_points, least=0.6)}
    assert len(steady) >= 4
    assert steady <= set(promoted(played))


def test_the_best_and_the_cheapest_tier_are_promoted_first() -> None:
    plan, _, played = run("steps")
    cuts = [c for c in screened(played) if c.architecture is not None]
    points = [(value(c, 64), share_of(c)) for c in cuts]
    leaders = [cuts[i] for i in best_of_tiers(points, plan.num_points, least=0.6)]
    best, cheapest, *_ = promoted(played)
    assert best == leaders[0]
    assert cheapest == min(leaders, key=share_of)


def test_every_opening_screens_what_the_survey_alone_would_cut_and_pure_reuse() -> None:
    plan, _, played = run("steps")
    seen = set(screened(played))
    paths = greedy_paths(plan.bounded, plan.survey)
    for generation in range(INCREMENTS):
        bounded = plan.bounded.at_generation(generation, max_saving=0.4)
        ends = [cheapest_above(path, bounded, bounded.least) for path in paths]
        first, *_ = by_error(ends, plan.space, plan.survey)
        for genome in (first, ends[-1]):
            assert plan.candidate(PrunedGenome(BEST, genome)) in seen, generation


def test_a_budget_hands_over_a_front_best_first() -> None:
    _, outcome, _ = run("bands", most=0.75)
    for a, b in pairwise(outcome.points):
        assert (a.fid, -a.share) < (b.fid, -b.share)
        assert a.share > b.share


@pytest.mark.parametrize("mode", MODES)
def test_the_full_network_is_screened_first_then_the_other_schedules(mode: Mode) -> None:
    plan, _, played = run(mode)
    first, second, *_ = (ask.candidate for ask in played.batches[0])
    assert first == plan.bases[0]
    assert second.times == plan.bases[1].times
    if mode == "shared":
        assert second.architecture is None
    else:
        assert second.architecture is not None
        cut, *whole = (second.architecture.at(step).choices for step in range(STEPS))
        assert cut
        assert not any(whole), "the first step alone"


@pytest.mark.parametrize("mode", ["bands", "steps"])
@pytest.mark.parametrize("most", [1.0, 0.75])
def test_more_freedom_starts_from_the_greedy_cuts_of_less(mode: Mode, most: float) -> None:
    shared, free = (plan_of(m, most=most) for m in ("shared", mode))
    paths = greedy_paths(shared.bounded, shared.survey)

    def order(cuts: Iterable[ArchitectureGenome]) -> list[ArchitectureGenome]:
        return by_error(cuts, shared.space, shared.survey)

    if most < 1.0:
        seeds = budget_seeds(shared.bounded, paths, order)
    else:
        bounded = shared.bounded.at_generation(0, max_saving=0.4)
        seeds = opening_seeds(bounded, paths, 1.0, order)
    greedy = {shared.candidate(PrunedGenome(BEST, genome)) for genome in seeds}
    of_shared, of_free = ({a.candidate for a in next(prune(plan))} for plan in (shared, free))
    assert len(greedy) >= 2
    assert greedy <= of_shared
    assert greedy <= of_free
    more = [c.architecture for c in of_free if c.architecture is not None]
    assert any(len(architecture.configurations) > 1 for architecture in more)


def test_it_comes_near_the_best_front_there_is_and_beats_random_cuts() -> None:
    plan, _, played = run()
    most = [ask for ask in played.asks if ask.num_samples == 128]
    found = volume([(value(a.candidate), share_of(a.candidate)) for a in most])
    path = greedy_path(plan.bounded, [true_errors(plan.space)])
    best = [plan.candidate(PrunedGenome(BEST, g)) for g in path if plan.bounded.holds(g)]
    ideal = volume([(value(candidate), share_of(candidate)) for candidate in best])
    control = volume([(value(c), share_of(c)) for c in random_cuts(plan, len(most) * 2)])
    assert control < found
    assert found > 0.97 * ideal, (control, found, ideal)


def random_cuts(plan: PruningPlan, count: int) -> list[Candidate]:
    """Random blocks a place down, until a random share is reached."""
    rng = np.random.default_rng(0)
    cut = []
    for _ in range(count):
        genome, share = plan.space.full, rng.uniform(0.6, 1.0)
        while plan.bounded.costs.share(genome) > share:
            block = int(rng.integers(len(plan.space.blocks)))
            moved = next_place(genome, plan.space, 0, block, 1)
            if moved is not None and plan.bounded.holds(moved):
                genome = moved
            elif plan.bounded.costs.share(genome) < 0.65:
                break
        cut.append(plan.candidate(PrunedGenome(BEST, genome)))
    return cut


def test_a_budget_of_cost_ends_near_the_best_cuts_though_the_survey_is_wrong() -> None:
    plan, outcome, played = run(most=0.75)
    path = greedy_path(plan.bounded, [true_errors(plan.space)])
    ideal = next(genome for genome in path if plan.bounded.holds(genome))
    start, found = value(played.batches[0][0].candidate), outcome.points[0].fid
    best = value(plan.candidate(PrunedGenome(BEST, ideal)))
    assert found < best + 0.1 * (start - best), (start, found, best)


def test_times_are_those_of_stage_1_at_first_and_then_move() -> None:
    plan, _, played = run(budget=4 * SMALL_BUDGET)
    bases = {base.times for base in plan.bases}
    moved = [{a.candidate.times for a in batch} - bases for batch in played.batches]
    assert not moved[0]
    rungs = {b[0].num_samples for b, new in zip(played.batches, moved, strict=True) if new}
    assert rungs == {64, 128}, "on every rung"


def test_a_wrong_start_schedule_is_mended_by_the_polish() -> None:
    plan = plan_of(bases=((600, 450, 230, 10),), budget=SMALL_BUDGET)
    outcome, _ = play(prune(plan), judge)
    assert value(outcome.points[0].candidate) < value(plan.bases[0])


@pytest.mark.parametrize("most", [1.0, 0.75])
def test_failed_candidates_are_survived_and_never_points(most: float) -> None:
    _, outcome, played = run(most=most, judge=fail_some)
    failed = {ask.candidate for ask in played.asks if fail_some(ask).fid is None}
    assert failed
    assert outcome.points
    assert not failed & {point.candidate for point in outcome.points}
    for candidate in failed:
        assert sum(ask.candidate == candidate for ask in played.asks) == 1, "asked again"


def test_where_every_cut_fails_there_are_no_points() -> None:
    _, outcome, played = run(judge=fail_pruned)
    assert outcome.points == ()
    assert sum(ask.candidate.architecture is not None for ask in played.asks) > 10


def test_where_all_fail_there_are_no_points_and_no_history() -> None:
    outcome, played = play(prune(plan_of(budget=SMALL_BUDGET)), fail_all)
    assert outcome.points == ()
    assert outcome.history == ()
    assert played.asks


def test_history_never_gets_worse_within_one_number_of_images() -> None:
    _, outcome, _ = run("steps")
    for a, b in pairwise(outcome.history):
        assert a.calls <= b.calls
        assert a.num_samples != b.num_samples or b.fid <= a.fid


def test_the_front_of_the_lowest_rung_is_what_is_promoted_first() -> None:
    _, _, played = run()
    low, high = screened(played), promoted(played)
    points = [(value(c, 64), share_of(c)) for c in low]
    front = {low[i] for i in non_dominated(points)}
    count = min(len(front), len(high))
    assert set(high[:count]) <= front


def test_a_few_scores_open_the_whole_range_at_once() -> None:
    outcome, played = play(prune(plan_of(budget=8 * 64 * STEPS, num_points=3)), judge)
    assert min(share_of(ask.candidate) for ask in played.batches[0]) < 0.65
    assert len(outcome.points) >= 2


def test_a_limit_below_every_cut_leaves_no_points() -> None:
    outcome, played = play(prune(plan_of(least=0.9999, budget=SMALL_BUDGET)), judge)
    assert {ask.candidate.architecture for ask in played.asks} == {None}
    assert outcome.points == ()


def test_a_cost_that_nothing_can_meet_names_the_least_possible() -> None:
    with pytest.raises(InvalidInput, match=r"most=0.3.*at least 0\.\d+") as caught:
        plan_of(most=0.3, bodiless=False)
    assert caught.value.field == "most"


def test_calls_that_pay_for_nothing_are_refused() -> None:
    with pytest.raises(InvalidInput, match="256 and more network calls") as caught:
        plan_of(budget=64 * STEPS - 1)
    assert caught.value.field == "budget"


def test_schedules_of_other_spaces_are_refused() -> None:
    plan = plan_of()
    three = Candidate(solver="ddim", times=(0.9, 0.5, 0.1, 0.0))
    for bases, match in (
        ((), "at least one"),
        ((three,), "4 steps"),
        ((Candidate(solver="dpm-solver++-2m", times=plan.bases[0].times),), "ddim"),
    ):
        with pytest.raises(InvalidInput, match=match) as caught:
            replace(plan, bases=bases)
        assert caught.value.field == "bases"


def test_a_survey_of_another_network_is_refused() -> None:
    space = ArchitectureSpace(blocks=adm_blocks(IMAGENET_64), steps=STEPS)
    costs = GenomeCosts.of_adm(space, IMAGENET_64, 64, passes=(1,) * STEPS)
    with pytest.raises(InvalidInput, match="ranks of 32 units") as caught:
        replace(plan_of(), bounded=BoundedSpace(space=space, costs=costs))
    assert caught.value.field == "survey"


def test_the_full_genome_is_the_schedule_itself() -> None:
    plan = plan_of("steps")
    full = ArchitectureGenome((plan.space.full_widths,) * 2, (0, 0, 1, 1))
    assert plan.candidate(PrunedGenome(BEST, full)) == plan.bases[0]
