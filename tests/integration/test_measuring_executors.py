"""Where networks are measured and repaired changes nothing: threads, actors, actors that die."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from evaluators.banks import Bank
from evaluators.inline import InlineScorer
from evaluators.ray_scorer import RayScorer
from evaluators.score import Ask, Numerics, Score, Task
from evaluators.scoring import TileScorer
from evaluators.tasks import make_task
from fewstep.networks.pruning.calibration_plan import CalibrationPlan
from tests.ray_cluster import kill_busy_actor
from tests.unit.evaluators.repairs import (
    FULL,
    MODEL,
    REUSING,
    SHORT,
    THIN,
    architecture,
    candidate,
)

pytestmark = pytest.mark.timeout(400)  # an actor starts in 5 s, on a crowded machine in a minute

RUNS = [architecture(FULL, THIN), architecture(THIN, SHORT), architecture(FULL, REUSING)]
SURVEYED = CalibrationPlan(solver="ddim", times=(0.4, 0.0), num_images=2)


@pytest.fixture(scope="module")
def task() -> Task:
    return make_task(MODEL, numerics=Numerics(micro_batch=16))


@pytest.fixture(scope="module")
def inline(task: Task) -> Iterator[TileScorer]:
    with closing(InlineScorer(task)) as scorer:
        yield scorer


@pytest.fixture(scope="module")
def actors(task: Task, ray_address: str) -> Iterator[RayScorer]:
    with closing(RayScorer(task, num_actors=2, address=ray_address, cache_bytes=0)) as scorer:
        yield scorer


def _score(scorer: TileScorer) -> list[Score]:
    asks = [Ask(candidate(run), Bank("search"), 24) for run in RUNS]
    return scorer.score(asks, lambda _position, _score: None)


def test_actors_that_each_calibrate_find_what_one_thread_finds(
    inline: TileScorer, actors: RayScorer
) -> None:
    found = _score(actors)
    assert found == _score(inline)
    assert all(score.fid is not None for score in found)
    files = [actors.repaired(run) for run in RUNS]
    assert files == [inline.repaired(run) for run in RUNS]


@pytest.mark.slow
def test_an_actor_surveys_and_times_as_a_thread_does(inline: TileScorer, actors: RayScorer) -> None:
    assert actors.survey(SURVEYED, "reconstruction", "ridge") == inline.survey(
        SURVEYED, "reconstruction", "ridge"
    )
    assert actors.device_name() == inline.device_name()
    assert min(actors.seconds([FULL, THIN])) > 0.0


@pytest.mark.slow
def test_killing_the_actor_that_answers_changes_nothing(
    inline: TileScorer, actors: RayScorer
) -> None:
    killer = threading.Thread(target=kill_busy_actor, args=("TileActor.answer",))
    killer.start()
    found = actors.survey(SURVEYED, "magnitude", "ridge")
    killer.join()
    assert found == inline.survey(SURVEYED, "magnitude", "ridge")


@pytest.mark.slow
def test_an_actor_that_died_is_replaced_before_it_answers(
    inline: TileScorer, actors: RayScorer
) -> None:
    before = actors.executor.pids()
    os.kill(before[0], signal.SIGKILL)
    assert actors.repaired(RUNS[0]) == inline.repaired(RUNS[0])
    after = actors.executor.pids()
    assert after[0] != before[0]
    assert after[1] == before[1]
