"""Guided sampling: how long each solver takes to come as near to the full path as DDIM does.

    python -m benchmarks.guided --model zoo:digits --out benchmarks/results/guided-digits.json

For each problem: the distance (RMSE over pixels) of every solver at every number of steps to the
1000-step guided DDIM samples from the same noise (the published reference) and to an accurate
solution; the fewest steps at which a solver is as near as DDIM with 20, 50 and 250, by log-linear
interpolation; and the seconds these take, network and gradient apart. A last part scores the images
of equal steps with a classifier that no guidance used. Results are stored as they are made.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.guided_problems import Problem, problems, sample, starts
from benchmarks.guided_table import markdown
from benchmarks.machine import machine
from evaluators.features import load_extractor, to_uint8
from evaluators.frechet import frechet_distance
from evaluators.references import load_reference
from fewstep.networks.card import ModelCard
from fewstep.networks.models import resolve

SCALES = (1.0, 4.0, 10.0)
INPAINTING_SCALE = 2.0  # stiffness 1 at 20 steps: between the limits of AB4 (0.3) and Euler (2)
STEPS = (5, 8, 10, 12, 15, 20, 25, 30, 40, 50, 75, 100, 150, 250)
SOLVERS: dict[str, tuple[str, dict[str, object]]] = {
    "ddim": ("ddim", {}),
    "plms4": ("plms4", {}),
    "dpm-solver++-2m": ("dpm-solver++-2m", {}),
    "add4": ("add4", {}),
    "ltsp2": ("ltsp2", {}),
    "ltsp4": ("ltsp4", {}),
    "stsp2": ("stsp2", {}),
    "stsp4": ("stsp4", {}),
}
REFERENCE = ("ddim", 1000)
ACCURATE = ("plms4", 500)  # in float64
TARGET = ("ddim", 250)
GOALS = (20, 50, 250)  # steps of DDIM whose distance the others have to reach
TIMED_STEPS = 20
DIVERGED = 1e29
LEAST_SHOWN = 50  # every solver is measured up to here, and beyond until it is near enough
NUM_DISTANCE, NUM_QUALITY = 64, 256
QUALITY_STEPS = (20,)
REPEATS = 5
PARTS = ("distances", "times", "qualities")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    card = resolve(options.model)
    study = _Study(card, options.out)
    for part in options.parts:
        for problem in problems(card, SCALES, INPAINTING_SCALE):
            getattr(study, part)(problem)
    print(markdown(study.document))
    return 0


class _Study:
    """Measures what the result file does not hold yet."""

    def __init__(self, card: ModelCard, path: Path) -> None:
        self._card, self._path = card, path
        self._process = card.make_process()
        self._start, self._labels = starts(card, NUM_DISTANCE)
        fresh: dict[str, Any] = {
            "model": card.name,
            "weights_sha256": card.weights_sha256,
            "guides": {name: guide["sha256"] for name, guide in card.guides.items()},
            "num_distance": NUM_DISTANCE,
            "machine": machine(),
            "problems": {},
        }
        held = json.loads(path.read_text(encoding="utf-8")) if path.exists() else fresh
        same = all(held[key] == fresh[key] for key in ("weights_sha256", "guides"))
        self.document: dict[str, Any] = held if same else fresh

    def distances(self, problem: Problem) -> None:
        """RMSE of every solver and number of steps to both references."""
        entry = self._entry(problem)
        if "distances" in entry:
            return
        print(f"{problem.name}: references", file=sys.stderr)
        reference = self._samples(problem, *REFERENCE, dtype=torch.float32).double()
        accurate = self._samples(problem, *ACCURATE, dtype=torch.float64)
        samples = self._samples(problem, *TARGET).double()
        rows: dict[str, Any] = {
            f"{TARGET[0]}|{TARGET[1]}": [_rms(samples, reference), _rms(samples, accurate)]
        }
        for name, (solver, settings) in SOLVERS.items():
            for steps in STEPS:
                if steps > LEAST_SHOWN and needed_steps(rows, name, TARGET[1], 0) is not None:
                    break  # near enough already
                samples = self._samples(problem, solver, steps, settings).double()
                rows[f"{name}|{steps}"] = [_rms(samples, reference), _rms(samples, accurate)]
            print(f"{problem.name}: {name}", file=sys.stderr)
        entry["distances"] = rows
        entry["reference_to_accurate"] = _rms(reference, accurate)
        self._write()

    def times(self, problem: Problem) -> None:
        """Seconds of a step of each solver, network and gradient apart, in turns."""
        entry = self._entry(problem)
        if "step_seconds" in entry:
            return
        turns: dict[str, list[dict[str, float]]] = {name: [] for name in SOLVERS}
        for _ in range(REPEATS):
            for name, found in turns.items():
                found.append(self._timed(problem, name))
        entry["step_seconds"] = {
            name: {key: statistics.median(turn[key] for turn in found) for key in found[0]}
            for name, found in turns.items()
        }
        entry["needed"] = {
            f"{name}|{goal}|{which}": needed_steps(entry["distances"], name, goal, which)
            for name in SOLVERS
            for goal in GOALS
            for which in (0, 1)
        }
        self._write()

    def qualities(self, problem: Problem) -> None:
        """Class accuracy and feature distance of equal steps, by a judge that guided nothing."""
        entry = self._entry(problem)
        if "qualities" in entry:
            return
        x, labels = starts(self._card, NUM_QUALITY)
        rows: dict[str, Any] = {}
        for name, (solver, settings) in SOLVERS.items():
            for steps in QUALITY_STEPS:
                rows[f"{name}|{steps}"] = self._judged(problem, solver, steps, x, labels, settings)
        rows[f"{TARGET[0]}|{TARGET[1]}"] = self._judged(problem, *TARGET, x, labels, {})
        entry["qualities"], entry["num_quality"] = rows, NUM_QUALITY
        self._write()

    def _judged(
        self,
        problem: Problem,
        solver: str,
        steps: int,
        x: Tensor,
        labels: Tensor,
        settings: dict[str, object],
    ) -> dict[str, float]:
        batches = list(zip(x.split(256), labels.split(256), strict=True))
        images = torch.cat(
            [
                sample(
                    problem,
                    solver,
                    steps,
                    part.float(),
                    of,
                    process=self._process,
                    options=settings,
                )[0]
                for part, of in batches
            ]
        )
        wanted = torch.cat([problem.wanted(of) for _, of in batches])
        judge = load_extractor(self._card.extractor)
        pixels = to_uint8(images.nan_to_num())
        reference = load_reference(self._card.reference_path()).gaussian
        with torch.inference_mode():
            accuracy = (judge.logits(pixels).argmax(1) == wanted).double().mean()
            distance = frechet_distance(judge.features(pixels).numpy(), reference)
        print(f"{problem.name}: {solver} {steps} judged", file=sys.stderr)
        return {"accuracy": float(accuracy), "fid": distance}

    def _samples(
        self,
        problem: Problem,
        solver: str,
        steps: int,
        settings: dict[str, object] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        found = sample(
            problem,
            solver,
            steps,
            self._start.to(dtype),
            self._labels,
            process=self._process,
            options=settings,
        )
        return found[0]

    def _timed(self, problem: Problem, name: str) -> dict[str, float]:
        solver, settings = SOLVERS[name]
        started = time.perf_counter()
        _, calls, seconds = sample(
            problem,
            solver,
            TIMED_STEPS,
            self._start.float(),
            self._labels,
            process=self._process,
            options=settings,
        )
        total = time.perf_counter() - started
        denoised = calls.get("denoised", 0)
        return {
            "seconds": total / TIMED_STEPS,
            "gradient_seconds": seconds.get("gradient", 0.0) / TIMED_STEPS,
            "passes": (calls.get("base", 0) + denoised) / TIMED_STEPS,
            "gradients": (calls.get("gradient", 0) + denoised) / TIMED_STEPS,
        }

    def _entry(self, problem: Problem) -> dict[str, Any]:
        entry: dict[str, Any] = self.document["problems"].setdefault(problem.name, {})
        return entry

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.document, indent=1, sort_keys=True) + "\n"
        self._path.write_text(text, encoding="utf-8")
        self._path.with_suffix(".md").write_text(markdown(self.document), encoding="utf-8")


def _rms(a: Tensor, b: Tensor) -> float:
    """Root of the mean square difference; infinite where a sample is not finite."""
    value = float((a.double() - b.double()).square().mean().sqrt())
    return value if math.isfinite(value) else 10 * DIVERGED


def needed_steps(
    distances: dict[str, list[float]], name: str, goal_steps: int, which: int
) -> float | None:
    """Fewest steps that come as near as DDIM with `goal_steps`, interpolated; None if never.

    `which` reference: 0 is DDIM with 1000 steps, 1 the accurate solution.
    """
    goal = distances[f"ddim|{goal_steps}"][which]
    before: tuple[int, float] | None = None
    for steps in STEPS:
        if f"{name}|{steps}" not in distances:
            continue
        distance = distances[f"{name}|{steps}"][which]
        if distance <= goal:
            if before is None or before[1] >= DIVERGED:
                return float(steps)
            share = math.log(before[1] / goal) / math.log(before[1] / distance)
            return before[0] + share * (steps - before[0])
        before = (steps, distance)
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.guided", description="Guided solvers, in distance and seconds."
    )
    parser.add_argument("--model", default="zoo:digits")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--out", type=Path, required=True, help="JSON file; .md goes beside it")
    return parser


if __name__ == "__main__":
    sys.exit(main())
