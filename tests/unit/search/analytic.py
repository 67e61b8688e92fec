"""A stand-in objective for tests of pure strategies: a known function of a schedule's times.

It has what matters of the real one: it is smooth in the levels, has a best start level below the
noisiest, a bias that falls with the number of images, and bank noise that shrinks with it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar

from evaluators.score import Ask, OnScore, Score, Task, calls_of
from evaluators.tasks import make_task
from fewstep.networks.card import ModelCard
from fewstep.networks.models import resolve
from fewstep.process import VPDiscrete
from fewstep.request import SearchRequest
from search.plan import Plan, make_plan
from search.strategy import Asking

R = TypeVar("R")
Judge = Callable[[Ask], Score]

MODEL = "zoo:digits"
BEST_START = -2.2
BEST_END = 2.6


@lru_cache
def process() -> VPDiscrete:
    """The process of the bundled model."""
    return VPDiscrete.linear()


def plan_of(**fields: object) -> Plan:
    """The plan of a request with these fields."""
    return make_plan(request_of(**fields), process())


def request_of(**fields: object) -> SearchRequest:
    """A request for the bundled model, small unless said otherwise."""
    small = {"model": MODEL, "solver": "dpm-solver++-2m", "nfe": 4}
    return SearchRequest.parse(small | fields)


def value(ask: Ask) -> float:
    """The stand-in fitness: distance in lam from an even spread between two levels, and noise."""
    lams = [process().at(t).lam for t in ask.candidate.times[:-1]]
    count = max(1, len(lams) - 1)
    even = [BEST_START + i / count * (BEST_END - BEST_START) for i in range(len(lams))]
    distance = sum((a - b) ** 2 for a, b in zip(lams, even, strict=True)) / len(lams)
    text = f"{ask.candidate.key}{ask.bank.canonical()}{ask.num_samples}"
    draw = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 2**32
    return 0.08 + 0.1 * distance + (8.0 + draw) / ask.num_samples


def judge(ask: Ask) -> Score:
    """Every ask has a value."""
    return Score(value(ask), None, ask.num_samples * ask.candidate.steps)


def fail_some(ask: Ask) -> Score:
    """About a third of the candidates fail, always the same ones."""
    if int(ask.candidate.key[:2], 16) % 3 == 0:
        return Score(None, "3 of 256 images are not finite", ask.num_samples * ask.candidate.steps)
    return judge(ask)


def fail_all(ask: Ask) -> Score:
    """Nothing works."""
    return Score(None, "all images are not finite", ask.num_samples * ask.candidate.steps)


@dataclass
class Played:
    """What a strategy asked, batch by batch, and what came of it."""

    batches: list[list[Ask]] = field(default_factory=list)

    @property
    def asks(self) -> list[Ask]:
        """All asks in order."""
        return [ask for batch in self.batches for ask in batch]


def play(asking: Asking[R], judge: Judge = judge) -> tuple[R, Played]:
    """Run a strategy to its end."""
    played = Played()
    try:
        asks = next(asking)
        while True:
            played.batches.append(asks)
            asks = asking.send([judge(ask) for ask in asks])
    except StopIteration as stop:
        result: R = stop.value
        return result, played


@lru_cache
def card() -> ModelCard:
    """The bundled model's card."""
    return resolve(MODEL)


@lru_cache
def task() -> Task:
    """The task of scoring the bundled model."""
    return make_task(MODEL)


@dataclass
class AnalyticScorer:
    """A scorer over the stand-in objective; counts what it was made to compute."""

    judge: Judge = judge
    computed: list[Ask] = field(default_factory=list)

    @property
    def task(self) -> Task:
        """The real task, so that keys are real."""
        return task()

    def score(self, asks: Sequence[Ask], on_score: OnScore) -> list[Score]:
        """Judge all asks in ask order."""
        scores = []
        for position, ask in enumerate(asks):
            self.computed.append(ask)
            score = self.judge(ask)
            assert score.calls == calls_of(self.task, ask)
            scores.append(score)
            on_score(position, score)
        return scores


def is_finite(score: Score) -> bool:
    """Whether a score is a number."""
    return score.fid is not None and math.isfinite(score.fid)
