"""The share of wall time inside the network while candidates are scored.

What is not inside the network is ours to keep small: noise, coefficients, 8-bit images, features,
distances, and waiting. Prints a line and a JSON document.

    python -m benchmarks.network_share --model zoo:digits
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from torch import Tensor

from benchmarks.machine import write_result
from evaluators.banks import Bank
from evaluators.inline import InlineExecutor
from evaluators.score import Ask, Numerics
from evaluators.scoring import TileScorer
from evaluators.tasks import make_task, process_of, reference_of
from evaluators.tile_runner import load_runner
from fewstep.denoisers.class_conditional import ConditionalNetwork
from fewstep.spacing import named_grids
from space.candidate import Candidate

GOAL = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What was measured.

    Attributes:
        share: Time inside network calls over wall time, per slot.
        wall_s: Wall time of scoring.
        network_calls: Calls scored, one per image and evaluation.
        calls_per_s: Over all slots.
    """

    model: str
    solver: str
    nfe: int
    num_candidates: int
    num_samples: int
    slots: int
    micro_batch: int
    share: float
    wall_s: float
    network_calls: int
    calls_per_s: float


class Timed:
    """A network that adds up the time spent in it, over all threads."""

    def __init__(self, network: ConditionalNetwork) -> None:
        self._network = network
        self._spent_s: list[float] = []  # append is atomic, so threads need no lock

    @property
    def spent_s(self) -> float:
        """Seconds inside, summed over threads."""
        return sum(self._spent_s)

    def __call__(self, x: Tensor, time_: Tensor, labels: Tensor) -> Tensor:
        """Predict as the network does."""
        started = time.perf_counter()
        predicted = self._network(x, time_, labels)
        self._spent_s.append(time.perf_counter() - started)
        return predicted


def measure(
    model: str,
    *,
    solver: str,
    steps: int,
    num_samples: int,
    slots: int = 1,
    micro_batch: int = 256,
    roots: Sequence[Path] = (),
) -> Share:
    """Score every named grid of `steps` steps and time it."""
    task = make_task(model, numerics=Numerics(micro_batch=micro_batch), roots=roots)
    process = process_of(task, roots=roots)
    runner = load_runner(task, roots=roots)
    network = Timed(runner.network)
    grids = named_grids(process, steps).values()
    asks = [
        Ask(Candidate(solver=solver, times=grid), Bank("search"), num_samples) for grid in grids
    ]
    scorer = TileScorer(
        task,
        InlineExecutor(replace(runner, network=network), slots=slots),
        process=process,
        reference=reference_of(task, roots=roots).gaussian,
    )
    with closing(scorer):
        scorer.score([Ask(asks[0].candidate, Bank("selection"), num_samples)], _ignore)  # warm up
        before, started = network.spent_s, time.perf_counter()
        scores = scorer.score(asks, _ignore)
        wall_s = time.perf_counter() - started
    calls = sum(score.calls for score in scores if score.fid is not None)
    return Share(
        model=model,
        solver=solver,
        nfe=scores[0].calls // num_samples,
        num_candidates=len(asks),
        num_samples=num_samples,
        slots=slots,
        micro_batch=micro_batch,
        share=(network.spent_s - before) / (wall_s * slots),
        wall_s=wall_s,
        network_calls=calls,
        calls_per_s=calls / wall_s,
    )


def _ignore(_position: int, _score: object) -> None:
    """Nobody is told of scores here."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = _parser().parse_args(arguments)
    found = measure(
        options.model,
        solver=options.solver,
        steps=options.steps,
        num_samples=options.num_samples,
        slots=options.slots,
        micro_batch=options.micro_batch,
        roots=options.root,
    )
    print(json.dumps(asdict(found)))
    if options.out is not None:
        write_result(options.out, asdict(found))
    print(
        f"{found.share:.1%} of the wall time inside the network (goal {GOAL:.0%}): "
        f"{found.num_candidates} candidates of {found.num_samples} images, nfe {found.nfe}, "
        f"{found.slots} slot(s), {found.calls_per_s:.0f} calls/s"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.network_share")
    parser.add_argument("--model", default="zoo:digits")
    parser.add_argument("--solver", default="ddim")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--num-samples", type=int, default=256, help="images of each candidate")
    parser.add_argument("--slots", type=int, default=1, help="threads that score at the same time")
    parser.add_argument("--micro-batch", type=int, default=256)
    parser.add_argument("--out", type=Path, help="JSON file to write, the machine included")
    parser.add_argument("--root", type=Path, action="append", default=[], help="model root folder")
    return parser


if __name__ == "__main__":
    main()
