"""Scoring on Ray actors, each with the model and the extractor loaded once.

The only file that imports Ray, and only when a scorer is opened. This side needs no torch: programs
and image ranges travel out, float32 features come back; noise is drawn where it is used.
"""

from __future__ import annotations

import logging
import os
import socket
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from evaluators.banks import FloatArray
from evaluators.chain_tiles import AnyTile
from evaluators.questions import Answer, Question
from evaluators.score import Task
from evaluators.scoring import CACHE_BYTES, TileScorer
from evaluators.tasks import blocks_of, process_of, reference_of
from fewstep.errors import MissingExtra, ScoringFailed

_LOG = logging.getLogger(__name__)

MAX_ATTEMPTS = 3  # of a tile or question, before its actors' deaths are held against it
START_TIMEOUT_S = 300.0  # importing torch takes seconds, on a crowded machine minutes
_KNOCK_TIMEOUT_S = 10.0
_ASKED = 0  # the slot that answers questions
_TILES_IN_FLIGHT = 2  # per actor: one runs, one waits, and a dead actor loses no more
_OBJECT_STORE_BYTES = 100 * 2**20  # features of one tile are at most a few MB


class TileActor:
    """What runs in an actor's process."""

    def __init__(self, task: Task, roots: Sequence[Path]) -> None:
        import torch

        from evaluators.tile_runner import load_runner

        torch.set_num_threads(task.numerics.threads)
        self._runner = load_runner(task, roots=roots)

    def pid(self) -> int:
        """The process, which is up once this answers."""
        return os.getpid()

    def features(self, tile: AnyTile) -> FloatArray:
        """The features of one tile."""
        return self._runner.features(tile)

    def answer(self, question: Question[Answer]) -> Answer:
        """What this worker answers."""
        return question.answer(self._runner)


class RayExecutor:
    """Runs tiles on actors, replaces actors that die, and repeats what those had been given."""

    def __init__(
        self, task: Task, *, roots: Sequence[Path], num_actors: int, address: str | None
    ) -> None:
        self._ray = _import_ray()
        self._task, self._roots = task, list(roots)
        self._owns_connection = _connect(self._ray, num_actors, address)
        self._actors = [self._start_actor() for _ in range(num_actors)]

    def pids(self) -> list[int]:
        """Process ids of the actors, once all are up; dead ones are replaced first.

        Raises:
            ScoringFailed: an actor does not start.
        """
        return [self._pid(slot) for slot in range(len(self._actors))]

    def _pid(self, slot: int) -> int:
        try:
            return self._answer(slot)
        except self._ray.exceptions.RayError:
            self._actors[slot] = self._start_actor()
        try:
            return self._answer(slot)
        except self._ray.exceptions.RayError as error:
            raise ScoringFailed(
                f"a scoring actor did not start within {START_TIMEOUT_S:g} s on a cluster of "
                f"{self._ray.cluster_resources()}: {error}"
            ) from error

    def _answer(self, slot: int) -> int:
        pid: int = self._ray.get(self._actors[slot].pid.remote(), timeout=START_TIMEOUT_S)
        return pid

    def run(self, tiles: Sequence[AnyTile]) -> Generator[FloatArray, None, None]:
        """Features of each tile, in tile order; see `evaluators.executor.TileExecutor`."""
        self.pids()
        work = _Work(waiting=deque(range(len(tiles))))
        for position in range(len(tiles)):
            while position not in work.finished:
                self._hand_out(tiles, work)
                self._collect(work)
            yield work.finished.pop(position)

    def ask(self, question: Question[Answer]) -> Answer:
        """Answer on the first actor; see `evaluators.executor.TileExecutor`."""
        last: Exception | None = None
        for _ in range(MAX_ATTEMPTS):
            self._pid(_ASKED)
            try:
                answer: Answer = self._ray.get(self._actors[_ASKED].answer.remote(question))
            except self._ray.exceptions.RayTaskError as error:
                raise ScoringFailed(f"the answer failed in its actor: {error}") from error
            except self._ray.exceptions.RayError as error:
                _LOG.warning("scoring actor lost", extra={"event": "actor_lost", "tiles": []})
                self._restart(_ASKED)
                last = error
            else:
                return answer
        raise ScoringFailed(
            f"a question lost its scoring actor {MAX_ATTEMPTS} times, last: {last}"
        ) from last

    def close(self) -> None:
        """Stop the actors; leave Ray if this executor joined it."""
        if not self._ray.is_initialized():
            return
        for actor in self._actors:
            self._ray.kill(actor)
        if self._owns_connection:
            self._ray.shutdown()

    def _start_actor(self) -> Any:  # a handle whose methods Ray makes
        needs_gpu = self._task.numerics.device == "cuda"
        remote = self._ray.remote(num_cpus=1, num_gpus=int(needs_gpu), max_restarts=0)
        return remote(TileActor).remote(self._task, self._roots)

    def _hand_out(self, tiles: Sequence[AnyTile], work: _Work) -> None:
        """Give every actor its share of waiting tiles, lowest numbers first."""
        for slot in list(range(len(self._actors))) * _TILES_IN_FLIGHT:
            if work.waiting and work.load(slot) < _TILES_IN_FLIGHT:
                position = work.waiting.popleft()
                reference = self._actors[slot].features.remote(tiles[position])
                work.running[reference] = (slot, position)

    def _collect(self, work: _Work) -> None:
        """Wait for one tile, and take it in or see to its actor."""
        (reference,), _ = self._ray.wait(list(work.running), num_returns=1)
        slot, position = work.running.pop(reference)
        try:
            work.finished[position] = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise ScoringFailed(f"tile {position} failed in its actor: {error}") from error
        except self._ray.exceptions.RayError as error:
            work.running[reference] = (slot, position)
            self._replace(slot, work, error)

    def _replace(self, slot: int, work: _Work, error: Exception) -> None:
        """Start a fresh actor in a dead one's slot; its tiles wait again, in front."""
        lost = work.lose(slot)
        _LOG.warning("scoring actor lost", extra={"event": "actor_lost", "tiles": lost})
        for position in lost:
            if work.attempts[position] >= MAX_ATTEMPTS:
                raise ScoringFailed(
                    f"tile {position} lost its scoring actor {MAX_ATTEMPTS} times, last: {error}"
                ) from error
        self._restart(slot)
        self._pid(slot)

    def _restart(self, slot: int) -> None:
        self._ray.kill(self._actors[slot])  # where it only became unreachable
        self._actors[slot] = self._start_actor()


@dataclass(slots=True)
class _Work:
    """Where each tile is. Keys of `running` are Ray's references to coming results."""

    waiting: deque[int]
    running: dict[Any, tuple[int, int]] = field(default_factory=dict)  # to (slot, tile)
    finished: dict[int, FloatArray] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)  # failed ones, by tile

    def load(self, slot: int) -> int:
        """Tiles an actor has been given and not answered."""
        return sum(owner == slot for owner, _ in self.running.values())

    def lose(self, slot: int) -> list[int]:
        """Take an actor's tiles back, to wait in front; returns them in order."""
        lost = sorted(position for owner, position in self.running.values() if owner == slot)
        self.running = {ref: place for ref, place in self.running.items() if place[0] != slot}
        self.waiting.extendleft(reversed(lost))
        for position in lost:
            self.attempts[position] = self.attempts.get(position, 0) + 1
        return lost


class RayScorer(TileScorer):
    """A scorer on Ray actors. Close it to release them."""

    def __init__(
        self,
        task: Task,
        *,
        roots: Sequence[Path] = (),
        num_actors: int = 1,
        address: str | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        # Read first: what is wrong with them must not leave actors behind.
        process, reference = process_of(task, roots=roots), reference_of(task, roots=roots)
        self.executor = RayExecutor(task, roots=roots, num_actors=num_actors, address=address)
        super().__init__(
            task,
            self.executor,
            process=process,
            reference=reference.gaussian,
            blocks=blocks_of(task, roots=roots),
            cache_bytes=cache_bytes,
        )


def _import_ray() -> ModuleType:
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise MissingExtra(
            "executor='ray' needs Ray, which is not installed: pip install 'fewstep[service]', "
            "or use executor='inline'"
        ) from error
    return ray


def _connect(ray: ModuleType, num_actors: int, address: str | None) -> bool:
    """Join the cluster at `address`, or start one here; False if this process is in one already."""
    if ray.is_initialized():
        return False
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address is not None:
            _knock(address)
            ray.init(address=address, **quiet)
        else:
            ray.init(
                address="local",  # whatever RAY_ADDRESS says: that is not our setting
                num_cpus=num_actors,
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                **quiet,
            )
    except (OSError, RuntimeError, ValueError) as error:
        raise ScoringFailed(f"ray: cannot join {address or 'a local cluster'}: {error}") from error
    return True


def _knock(address: str) -> None:
    """Fail at once where nothing listens at host:port; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and "/" not in host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=_KNOCK_TIMEOUT_S).close()
