"""Which schedules stage 2 starts from."""

from __future__ import annotations

from itertools import pairwise

import pytest

from search.pruning_bases import LAST, LEAD_IN_LEVELS, LONG, SHORT, bases_of, lead_ins
from search.strategies import STRATEGIES
from search.strategy import Outcome
from space.candidate import Candidate
from space.timesteps import TimestepSpace
from tests.unit.search.analytic import judge, plan_of, play, process

SPACE = TimestepSpace(process(), "dpm-solver++-2m", 4)
BEST = (657, 514, 258, 18)


def candidate(*indices: int) -> Candidate:
    return SPACE.candidate(indices)


def outcome(*ranked: Candidate) -> Outcome:
    return Outcome(finalists=ranked[:2], calls_spent=0, history=(), ranked=ranked)


def test_the_winner_is_first_and_those_near_it_are_left_out() -> None:
    winner, near, far = candidate(*BEST), candidate(657, 514, 258, 19), candidate(900, 514, 258, 18)
    further = candidate(990, 514, 258, 18)
    found = bases_of(winner, outcome(near, winner, far, further), SPACE, mode="shared")
    assert found == (winner, far), "one more, and that the best"


def test_lead_ins_come_before_the_runner_up_where_steps_may_differ() -> None:
    winner, far = candidate(*BEST), candidate(990, 989, 258, 18)
    found = bases_of(winner, outcome(winner, far), SPACE, mode="steps")
    expected = [SPACE.candidate(genome) for genome in lead_ins(BEST, SPACE)]
    assert found == (winner, *expected, far)
    assert len(expected) == len(LEAD_IN_LEVELS)


@pytest.mark.parametrize("steps", [3, 4, 6, 10])
def test_lead_ins_have_a_short_step_a_long_one_and_end_clean(steps: int) -> None:
    space = TimestepSpace(process(), "dpm-solver++-2m", steps)
    winner = (999, *range(100, 100 - 5 * (steps - 1), -5))
    for genome, level in zip(lead_ins(winner, space), LEAD_IN_LEVELS, strict=True):
        lams = [space.lams[k] for k in genome]
        assert lams[1] == pytest.approx(level, abs=0.01)
        widths = [b - a for a, b in pairwise(lams)]
        assert widths[0] == pytest.approx(SHORT, abs=0.02)
        assert lams[-1] == pytest.approx(LAST, abs=0.1)
        if steps > 3:
            assert widths[1] == pytest.approx(LONG, abs=0.02)
            assert max(widths[2:]) == pytest.approx(min(widths[2:]), abs=0.25)


def test_two_steps_have_no_room_for_a_lead_in_and_options_stay() -> None:
    assert list(lead_ins((600, 20), TimestepSpace(process(), "dpm-solver++-2m", 2))) == []
    space = TimestepSpace(process(), "unipc-3", 4, searched=("order",))
    winner = (*BEST, *(len(gene.values) - 1 for gene in space.genes))
    assert all(space.choices(g) == space.choices(winner) for g in lead_ins(winner, space))


def test_a_search_ranks_all_that_it_scored_with_the_most_images() -> None:
    plan = plan_of(budget=60_000, fidelities=[64, 128])
    found, played = play(STRATEGIES.get("evolution")(plan), judge)
    most = {ask.candidate for ask in played.asks if ask.num_samples == 128}
    assert set(found.ranked) == most
    assert found.ranked[: len(found.finalists)] == found.finalists
