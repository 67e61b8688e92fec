"""Where tiles run changes nothing: threads, actors, a joined cluster, actors that are killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from evaluators.banks import Bank
from evaluators.inline import InlineScorer
from evaluators.packing import Segment, pack
from evaluators.ray_scorer import MAX_ATTEMPTS, RayExecutor, RayScorer
from evaluators.score import Ask, Numerics, Score, Task
from evaluators.scorers import open_scorer
from evaluators.scoring import TileScorer
from evaluators.tasks import make_task
from fewstep.errors import ScoringFailed
from fewstep.mcmc.plan import ChainPlan
from fewstep.process import VPDiscrete
from fewstep.program import trace
from space.candidate import Candidate
from tests.model_folder import write_model
from tests.ray_cluster import kill_busy_actor

pytestmark = pytest.mark.timeout(400)  # an actor starts in 5 s, on a crowded machine in a minute

TIMES = (1.0, 0.7, 0.5, 0.35, 0.2, 0.1)
CANDIDATES = [
    Candidate(solver=solver, times=(start, 0.05 + start / 3, 0.03, 0.0))
    for start in TIMES
    for solver in ("ddim", "dpm-solver++-2m")
]
ASKS = [Ask(candidate, Bank("search"), 50) for candidate in CANDIDATES]
ASKS += [Ask(candidate, Bank("report", 1), 75) for candidate in CANDIDATES[:3]]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder)
    return folder


@pytest.fixture(scope="module")
def task(root: Path) -> Task:
    return make_task("file:random", numerics=Numerics(micro_batch=32), roots=[root])


@pytest.fixture(scope="module")
def expected(task: Task, root: Path) -> list[Score]:
    """What one thread of this process finds."""
    with closing(InlineScorer(task, roots=[root], slots=1)) as scorer:
        return score(scorer, ASKS)


@pytest.fixture(scope="module")
def two_actors(task: Task, root: Path, ray_address: str) -> Iterator[RayScorer]:
    """A scorer that keeps no features, so that every call runs its tiles."""
    with closing(
        RayScorer(task, roots=[root], num_actors=2, address=ray_address, cache_bytes=0)
    ) as scorer:
        yield scorer


def score(scorer: TileScorer, asks: Sequence[Ask]) -> list[Score]:
    """Score, holding the order of what is told against the order of the asks."""
    told: list[tuple[int, Score]] = []
    scores = scorer.score(asks, lambda position, found: told.append((position, found)))
    assert told == list(enumerate(scores))
    return scores


def test_two_threads_find_what_one_finds(task: Task, root: Path, expected: list[Score]) -> None:
    with open_scorer("inline", task, roots=[root], slots=2) as scorer:
        assert score(scorer, ASKS) == expected


def test_two_actors_find_what_one_thread_finds(
    two_actors: RayScorer, expected: list[Score]
) -> None:
    assert score(two_actors, ASKS) == expected


def test_one_actor_finds_what_one_thread_finds(
    task: Task, root: Path, expected: list[Score], ray_address: str
) -> None:
    with open_scorer("ray", task, roots=[root], slots=1, ray_address=ray_address) as scorer:
        assert score(scorer, ASKS) == expected
        assert score(scorer, ASKS) == expected  # now from the features that were kept


def test_killing_an_actor_in_the_middle_changes_nothing(
    two_actors: RayScorer, expected: list[Score]
) -> None:
    before = two_actors.executor.pids()
    told: list[int] = []

    def kill_once(position: int, _score: Score) -> None:
        told.append(position)
        if position == 2:
            os.kill(before[0], signal.SIGKILL)

    assert two_actors.score(ASKS, kill_once) == expected
    assert told == list(range(len(ASKS)))
    after = two_actors.executor.pids()
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_a_caller_that_stops_early_leaves_actors_that_work_on(
    two_actors: RayScorer, expected: list[Score]
) -> None:
    def stop(_position: int, _score: Score) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        two_actors.score(ASKS, stop)
    assert score(two_actors, ASKS) == expected


@pytest.mark.slow
def test_actors_that_died_between_calls_are_replaced(
    two_actors: RayScorer, expected: list[Score]
) -> None:
    for pid in two_actors.executor.pids():
        os.kill(pid, signal.SIGKILL)
    assert score(two_actors, ASKS) == expected


@pytest.mark.slow
def test_the_bundled_model_scores_alike_on_a_thread_and_on_an_actor(ray_address: str) -> None:
    task = make_task("zoo:digits", numerics=Numerics(micro_batch=32))
    with closing(InlineScorer(task)) as scorer:
        expected = score(scorer, ASKS[:2])
    with closing(RayScorer(task, num_actors=1, address=ray_address)) as scorer:
        assert score(scorer, ASKS[:2]) == expected
    assert all(found.fid is not None for found in expected)


@pytest.mark.slow
def test_chains_score_alike_on_a_thread_and_on_an_actor(ray_address: str) -> None:
    task = make_task("zoo:digits", numerics=Numerics(micro_batch=32), has_chains=True)
    plan = ChainPlan(eta=1.0, num_skip=1, chains=8, burn_in=2, start_calls=4)
    drawn = Candidate(solver="ddim", times=(0.4, 0.2, 0.05, 0.0), chains=plan.pairs())
    asks = [Ask(drawn, Bank("search"), 40), ASKS[0]]
    with closing(InlineScorer(task)) as scorer:
        expected = score(scorer, asks)
    with closing(RayScorer(task, num_actors=1, address=ray_address)) as scorer:
        assert score(scorer, asks) == expected
    assert all(found.fid is not None for found in expected)


@pytest.mark.slow
def test_another_process_joins_the_cluster_by_its_address(
    repository: Path, root: Path, expected: list[Score], ray_address: str
) -> None:
    code = f"""
from pathlib import Path
from evaluators.score import Numerics
from evaluators.scorers import open_scorer
from evaluators.tasks import make_task
from tests.integration.test_executors import ASKS, score

roots = [Path({str(root)!r})]
task = make_task("file:random", numerics=Numerics(micro_batch=32), roots=roots)
with open_scorer("ray", task, roots=roots, ray_address={ray_address!r}) as scorer:
    print(*(found.fid.hex() for found in score(scorer, ASKS[:3])))
"""
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.split() == [one.fid.hex() for one in expected[:3] if one.fid is not None]


@pytest.mark.slow
def test_actors_that_cannot_load_the_model_are_a_named_failure(
    root: Path, tmp_path: Path, ray_address: str
) -> None:
    shutil.copytree(root / "random", tmp_path / "random")
    task = make_task("file:random", roots=[tmp_path])
    executor = RayExecutor(task, roots=[tmp_path], num_actors=1, address=ray_address)
    with closing(executor):
        (pid,) = executor.pids()
        shutil.rmtree(tmp_path / "random")
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(ScoringFailed, match="a scoring actor did not start"):
            executor.pids()


@pytest.mark.slow
def test_a_tile_that_kills_its_actor_each_time_ends_in_a_named_failure(
    root: Path, ray_address: str
) -> None:
    task = make_task("file:random", numerics=Numerics(micro_batch=4096), roots=[root])
    program = trace((1.0, 0.5, 0.0), process=VPDiscrete.linear(), solver="ddim")
    tiles = pack([Segment(program, Bank("search"), 0, 4096)], 4096)
    executor = RayExecutor(task, roots=[root], num_actors=1, address=ray_address)
    killer = threading.Thread(target=_kill_busy_actors, args=(MAX_ATTEMPTS,))
    with closing(executor):
        executor.pids()
        killer.start()
        with pytest.raises(ScoringFailed, match=f"lost its scoring actor {MAX_ATTEMPTS} times"):
            list(executor.run(tiles))
    killer.join()


def test_no_cluster_at_the_address_is_a_named_failure(repository: Path, root: Path) -> None:
    code = f"""
from pathlib import Path
from evaluators.ray_scorer import RayScorer
from evaluators.tasks import make_task
from fewstep.errors import ScoringFailed

roots = [Path({str(root)!r})]
try:
    RayScorer(make_task("file:random", roots=roots), roots=roots, address="127.0.0.1:9")
except ScoringFailed as error:
    print(error.message)
"""
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=False
    )
    assert "ray: cannot join 127.0.0.1:9" in found.stdout, found.stderr


def _kill_busy_actors(count: int) -> None:
    """Kill one actor after the other while it runs a tile."""
    for _ in range(count):
        kill_busy_actor("TileActor.features")
