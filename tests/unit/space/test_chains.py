"""The space of schedules of chains: every member takes the same calls, few steps follow many."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewstep.errors import InvalidInput
from fewstep.mcmc.plan import ChainPlan
from fewstep.solvers import SOLVERS
from space.candidate import Candidate
from space.chains import ETA_FACTORS, ChainSpace
from space.choices import start_choices
from space.operators import crossover, mutate, random_genome
from space.seeds import CHAIN_START_RATIOS, option_seeds, starts
from tests.unit.space.strategies import generators, process

CALLS = 7
SOLVER_CASES = {
    "ddim": (6, (1, 2, 3, 4, 5, 6), ()),
    "heun": (3, (2, 4, 6), ()),
    "dpm-solver++-2m": (6, (1, 2, 3, 4, 5), ("order",)),
    "scire-2": (3, (2, 4, 6), ("phi",)),
}


@lru_cache
def space_of(solver: str = "ddim", eta: float | None = None, fixed: bool = False) -> ChainSpace:
    steps, skips, searched = SOLVER_CASES[solver]
    return ChainSpace(
        process(200),
        solver,
        steps,
        searched=searched,
        calls=CALLS,
        skips=skips[:1] if fixed else skips,
        eta=eta,
        chains=(("chains", 16),),
    )


@pytest.mark.parametrize("solver", SOLVER_CASES)
@given(rng=generators)
def test_every_feasible_member_takes_the_same_calls(solver: str, rng: np.random.Generator) -> None:
    space = space_of(solver)
    a, b = random_genome(space, rng), random_genome(space, rng)
    for genome in (a, crossover(a, b, space, rng), mutate(a, space, rng, 0.3)):
        assert space.holds(genome)
        if not space.allows(space.choices(genome)):
            continue
        candidate = space.candidate(genome)
        plan = candidate.chain_plan
        assert plan is not None
        entry, options = SOLVERS.get(solver), dict(candidate.options)
        assert plan.num_skip + entry.nfe_of_steps(candidate.steps, options) == CALLS
        assert plan.num_skip + space.program(genome).nfe == CALLS
        indices = space.indices(candidate)
        assert (indices[0], plan.chains) == (genome[0], 16)
        ratio = plan.eta / space.process.at(candidate.times[0]).rho ** 2
        assert any(math.isclose(ratio, factor) for factor in ETA_FACTORS), ratio


@given(points=st.sets(st.integers(0, 199), min_size=6, max_size=6), steps=st.integers(1, 6))
def test_a_shorter_schedule_follows_the_curve_of_the_longer_one(
    points: set[int], steps: int
) -> None:
    space = space_of()
    genome = tuple(sorted(points, reverse=True))
    found = space.resampled(genome, steps)
    assert len(found) == steps
    assert all(a > b for a, b in pairwise(found)), found
    if steps == len(genome):
        assert found == genome
    apart = all(a - b > 1 for a, b in pairwise(genome))
    if apart:  # where nothing must be moved apart, the ends stay
        assert found[0] == genome[0]
        assert steps == 1 or found[-1] == genome[-1]


def test_half_the_steps_are_every_other_point_of_an_even_schedule() -> None:
    space = space_of()
    lams = [space.lams[150] + i * (space.lams[10] - space.lams[150]) / 5 for i in range(6)]
    genome = tuple(space.index_near(lam) for lam in lams)
    middle = space.resampled(genome, 3)[1]
    assert middle == space.index_near((space.lams[genome[2]] + space.lams[genome[3]]) / 2)


def test_choices_of_steps_are_those_of_the_nearest_place() -> None:
    space = space_of("dpm-solver++-2m")
    skip = [gene.option for gene in space.genes].index("dlg.num_skip")
    orders = (0, 1, 0, 1, 1)  # of steps 0..4; the step to the clean level has no choice
    start = start_choices(space.genes)
    genome = (150, 120, 90, 60, 30, 10, *orders, *start[len(orders) : skip], 2, *start[skip + 1 :])
    candidate = space.candidate(genome)
    assert candidate.steps == CALLS - 3
    values = dict(candidate.options)["order"]
    assert isinstance(values, tuple)
    # 4 steps are at the places 0, 5/3, 10/3 and 5 of 0..5.
    assert values[:3] == (1, 1, 2), values


def test_what_is_given_is_no_gene() -> None:
    assert [gene.option for gene in space_of().genes] == ["dlg.num_skip", "dlg.eta"]
    fixed = space_of(eta=0.25, fixed=True)
    assert fixed.genes == ()
    plan = fixed.candidate((150, 120, 90, 60, 30, 10)).chain_plan
    assert plan == ChainPlan(eta=0.25, num_skip=1, chains=16)


def test_genomes_that_do_the_same_have_one_deed_and_chains_are_part_of_it() -> None:
    space = space_of()
    one, six = (0, 4), (5, 4)  # chain steps by place, then the size
    genome, other = (150, 120, 90, 60, 30, 10), (150, 119, 80, 60, 30, 10)
    assert space.deed((*genome, *six)) == space.deed((*other, *six)), "one step is left"
    assert space.deed((*genome, *one)) != space.deed((*other, *one))
    assert space.deed((*genome, *six)) != space.deed((*genome, 5, 3))


def test_searches_start_where_chains_are_at_home() -> None:
    space = space_of()
    none, seeds = starts(space)
    assert none == {}
    levels = {round(space.process.at(space.process.time_of(g[0])).rho, 1) for g in seeds.values()}
    assert all(min(CHAIN_START_RATIOS) * 0.9 < level < 6.0 for level in levels), levels
    varied = option_seeds({"best": next(iter(seeds.values()))}, space)
    assert len(varied) == len(space.skips) - 1 + len(ETA_FACTORS) - 1


PLAIN = Candidate(solver="ddim", times=(1.0, 0.5, 0.0))


def test_candidates_without_chains_keep_their_canonical_form_and_key() -> None:
    assert "chains" not in PLAIN.canonical()
    assert PLAIN.key == "53efff072f771bb1f6f0d64290d294e64f9e1f83175d2a35f0e00f03a6338346"


def test_chains_survive_the_round_trip_and_change_the_key() -> None:
    plan = ChainPlan(eta=2, num_skip=3)
    drawn = Candidate(solver="ddim", times=PLAIN.times, chains=plan.pairs())
    short = Candidate(solver="ddim", times=PLAIN.times, chains=(("num_skip", 3), ("eta", 2.0)))
    assert drawn.key == short.key
    assert drawn == short == Candidate.from_dict(drawn.canonical())
    assert (drawn.chain_plan, PLAIN.chain_plan) == (plan, None)
    assert drawn.key != PLAIN.key


@pytest.mark.parametrize(
    "chains",
    [
        {"eta": 0.5},
        {"num_skip": 2},
        {"eta": 0.0, "num_skip": 2},
        {"eta": 0.5, "num_skip": 2, "chains": 0},
        {"eta": 0.5, "num_skip": 2, "gibbs": "guess"},
        {"eta": 0.5, "num_skip": 2, "speed": 1},
        {"eta": 0.5, "num_skip": 2, "adjust": "mala"},
    ],
)
def test_chains_that_say_too_little_or_what_is_not_allowed_are_refused(
    chains: dict[str, object],
) -> None:
    with pytest.raises(InvalidInput):
        Candidate.from_dict(PLAIN.canonical() | {"chains": chains})
