"""Seconds of configurations: medians of interleaved passes, on whatever holds the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count

import pytest

from evaluators.inline import InlineScorer
from evaluators.score import Numerics
from evaluators.tasks import make_task
from evaluators.timing import TIMED_ROUNDS, WARM_UP_ROUNDS, interleaved_medians
from fewstep.errors import InvalidInput
from fewstep.networks.pruning.configuration import BlockChoice, NetworkConfiguration
from tests.unit.evaluators.repairs import BLOCKS, FULL, MODEL, REUSING, THIN

BARE = NetworkConfiguration.of({block.name: BlockChoice("removed") for block in BLOCKS})


@pytest.fixture(scope="module")
def scorer() -> Iterator[InlineScorer]:
    task = make_task(MODEL, numerics=Numerics(micro_batch=16))
    with closing(InlineScorer(task)) as opened:
        yield opened


def test_passes_run_in_rounds_and_medians_are_each_one_s_own() -> None:
    order: list[int] = []
    now = 0.0
    spent = (1.0, 5.0, 2.0)

    def working(place: int) -> Callable[[], None]:
        calls = count()

        def work() -> None:
            nonlocal now
            is_disturbed = next(calls) == WARM_UP_ROUNDS + place
            now += 1000.0 if is_disturbed else spent[place]
            order.append(place)

        return work

    found = interleaved_medians([working(place) for place in range(3)], clock=lambda: now)
    assert order == [0, 1, 2] * (WARM_UP_ROUNDS + TIMED_ROUNDS)
    assert found == list(spent)


def test_a_network_without_bodies_is_far_faster_than_the_full_one(scorer: InlineScorer) -> None:
    bare, full, thin, reusing = scorer.seconds([BARE, FULL, THIN, REUSING])
    assert min(thin, reusing) > 0.0
    assert 0.0 < bare < 0.8 * full, (bare, full)  # a third to a tenth where nothing disturbs


def test_no_configuration_takes_no_time_and_an_unfit_one_is_refused(scorer: InlineScorer) -> None:
    assert scorer.seconds([]) == []
    with pytest.raises(InvalidInput, match="unknown block"):
        scorer.seconds([NetworkConfiguration.of({"nowhere.0": BlockChoice("removed")})])


def test_the_chip_has_a_name(scorer: InlineScorer) -> None:
    assert scorer.device_name().strip()
