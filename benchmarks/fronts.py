"""Pruned networks beside all else that saves: fewer calls, uniform cuts, skipped layers, reuse.

    python -m benchmarks.fronts --model zoo:digits --nfe 4 6 10 --seeds 0 1 2 \\
        --out benchmarks/results/fronts-digits.json

Every method starts from the same searched schedule of a number of calls and a seed, and is reported
on the same noise. Costs are passes of the full network for one image, by multiply-adds. Rows are
stored as they are made; started again, the command goes on from there, and scores that are known
come from `--scores`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.fronts_plot import plot
from benchmarks.fronts_rivals import Start, rivals
from benchmarks.fronts_table import OURS, SCHEDULES, Row, markdown
from benchmarks.row_file import read_rows, write_rows
from evaluators.inline import InlineScorer
from evaluators.price import MICRO_BATCH
from evaluators.score import Numerics, Task
from evaluators.tasks import make_task
from fewstep.networks.card import ModelCard
from fewstep.networks.models import resolve
from fewstep.networks.pruning.configuration import NetworkConfiguration
from fewstep.networks.pruning.schedule_macs import network_macs, passes_of_steps, schedule_macs
from fewstep.program import trace
from fewstep.request import SearchRequest
from search.conductor import Conductor
from search.paper_layers import paper_layers
from search.paper_stage import layer_plan
from search.plan import Plan, make_plan
from search.pruning_bases import bases_of
from search.pruning_stage import Stage
from search.report import report
from search.score_file import ScoreFileJournal
from search.selection import select
from search.strategies import STRATEGIES
from space.candidate import Candidate

MAX_SAVING = 0.5
POINTS = 8
PRUNED: dict[str, dict[str, object]] = {
    OURS: {},
    "pruned, no repair": {"repair": "none"},
    "pruned, one network for all steps": {"mode": "shared"},
}
RIVALS = ("uniform", "magnitude, no repair", "reuse")
LAYER_SKIPS = "layer skips, published"
METHODS = [*PRUNED, *RIVALS, LAYER_SKIPS]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    options = _parser().parse_args(arguments)
    card = resolve(options.model)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    stored = read_rows(options.out)
    rows = in_order([row for row in stored if row["weights_sha256"] == card.weights_sha256])
    with (
        ScoreFileJournal(options.scores) as journal,
        closing(InlineScorer(_task(options), slots=options.slots)) as scorer,
    ):
        study = _Study(options, card, scorer, journal)
        for nfe, seed, method in _cells(options):
            key = study.key(nfe, seed, method)
            if any(row["key"] == key for row in rows):
                continue
            print(f"{nfe} calls, seed {seed}, {method} ...", file=sys.stderr)
            rows = in_order([*rows, study.row(nfe, seed, method)])
            write_rows(options.out, rows, markdown(rows))
    plot(rows, options.out.with_suffix(".png"))
    print(markdown(rows))
    return 0


def in_order(rows: Sequence[Row]) -> list[Row]:
    """By number of calls, method and seed, whichever was measured first."""
    methods = [SCHEDULES, *METHODS]
    return sorted(rows, key=lambda row: (row["nfe"], methods.index(row["method"]), row["seed"]))


def _task(options: argparse.Namespace) -> Task:
    return make_task(options.model, numerics=Numerics(micro_batch=options.micro_batch))


def _cells(options: argparse.Namespace) -> Iterator[tuple[int, int, str]]:
    """What is measured, in order: of each seed all schedules alone first."""
    for seed in options.seeds:
        for nfe in sorted({*options.shorter, *options.nfe}):
            yield nfe, seed, SCHEDULES
        for nfe in options.nfe:
            yield from ((nfe, seed, method) for method in options.methods)


@dataclass(frozen=True, slots=True)
class _Study:
    """Measures one cell after the other."""

    options: argparse.Namespace
    card: ModelCard
    scorer: InlineScorer
    journal: ScoreFileJournal

    def key(self, nfe: int, seed: int, method: str) -> str:
        """What a row depends on beside the weights."""
        images = f"{self.options.report_sets}x{self.options.report_images}"
        return f"{nfe}|{seed}|{method}|{self.options.budget}|{images}"

    def row(self, nfe: int, seed: int, method: str) -> Row:
        """Find a method's candidates, and report them."""
        started = time.monotonic()
        found = self._candidates(nfe, seed, method)
        return {
            "key": self.key(nfe, seed, method),
            "model": self.options.model,
            "weights_sha256": self.card.weights_sha256,
            "nfe": nfe,
            "seed": seed,
            "method": method,
            "budget": self.options.budget,
            "num_samples": self.options.report_images,
            "sets": self.options.report_sets,
            "points": self._reported(found),
            "seconds": round(time.monotonic() - started, 1),
        }

    def _candidates(self, nfe: int, seed: int, method: str) -> dict[str, Candidate]:
        if method == LAYER_SKIPS:
            request = self._request(nfe, seed, {"max_saving": 0.25}, strategy="paper")
            plan = self._plan(request)
            conductor = Conductor(self.scorer, self.journal, plan.ledger())
            layers = paper_layers(layer_plan(request, plan, self.card))
            finalists = conductor.conduct("search", layers).finalists
            return {method: conductor.conduct("selection", select(plan, finalists))}
        pruning = {"max_saving": MAX_SAVING, "points": POINTS} | PRUNED.get(method, {})
        request = self._request(nfe, seed, pruning)
        plan = self._plan(request)
        conductor = Conductor(self.scorer, self.journal, plan.ledger())
        outcome = conductor.conduct("search", STRATEGIES.get("evolution")(plan))
        winner = conductor.conduct("selection", select(plan, outcome.finalists))
        if method == SCHEDULES:
            return {f"{nfe} calls": winner}
        if method in RIVALS:
            start = Start(winner, self.scorer, self.journal, self.card)
            return rivals(start, method)
        assert request.pruning is not None, "all of these prune"
        bases = bases_of(winner, outcome, plan.space, mode=request.pruning.mode)
        left = plan.pruning_budget
        stage = Stage(request.pruning, plan, bases, self.scorer, self.journal, self.card, left)
        return {f"{method} {i}": c for i, c in enumerate(stage.candidates(conductor), start=1)}

    def _request(
        self, nfe: int, seed: int, pruning: Mapping[str, object], *, strategy: str = "evolution"
    ) -> SearchRequest:
        return SearchRequest.parse(
            {
                "model": self.options.model,
                "solver": self.options.solver,
                "nfe": nfe,
                "seed": seed,
                "strategy": strategy,
                "budget": self.options.budget,
                "fidelities": self.options.fidelities,
                "paper_fraction": self.options.paper_fraction,
                "pruning": dict(pruning),
            }
            | ({"budget": 10_000_000} if strategy == "paper" else {})
        )

    def _plan(self, request: SearchRequest) -> Plan:
        micro_batch = self.scorer.task.numerics.micro_batch
        return make_plan(request, self.card.make_process(), micro_batch=micro_batch)

    def _reported(self, found: Mapping[str, Candidate]) -> list[dict[str, Any]]:
        """Cost and distance of each candidate, on the report bank."""
        if not found:
            return []
        conductor = Conductor(self.scorer, self.journal, self._ledger())
        images, sets = self.options.report_images, self.options.report_sets
        rows = conductor.conduct("report", report(found, num_samples=images, sets=sets))
        return [
            {
                "name": row.names[0],
                "cost": self._cost(row.candidate),
                "fid": row.fid,
                "standard_error": row.standard_error,
                "fids": list(row.fids),
            }
            for row in rows
        ]

    def _ledger(self) -> Any:
        return self._plan(self._request(self.options.nfe[0], 0, {})).ledger()

    def _cost(self, candidate: Candidate) -> float:
        """Passes of the full network for one image, by multiply-adds."""
        process, config = self.card.make_process(), self.card.unet_config()
        program = trace(
            candidate.times,
            process=process,
            solver=candidate.solver,
            options=dict(candidate.options),
        )
        passes = passes_of_steps(program, candidate.times)
        size = self.card.image_shape[1:]
        macs = schedule_macs(candidate.architecture, config, size, passes=passes)
        return macs / network_macs(config, NetworkConfiguration(), size)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fronts", description="Compare fronts of pruned networks."
    )
    parser.add_argument("--model", default="zoo:digits")
    parser.add_argument("--solver", default="dpm-solver++-2m")
    parser.add_argument("--nfe", nargs="+", type=int, default=[4, 6, 10])
    parser.add_argument("--shorter", nargs="*", type=int, default=[3, 5, 8], help="calls beside")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--budget", type=int, default=120_000, help="network calls per search")
    parser.add_argument("--fidelities", nargs="+", type=int, default=[128, 512])
    parser.add_argument("--paper-fraction", type=float, default=0.01)
    parser.add_argument("--report-images", type=int, default=1024)
    parser.add_argument("--report-sets", type=int, default=3)
    parser.add_argument(
        "--micro-batch",
        type=int,
        default=MICRO_BATCH,
        help="images of a pass; smaller ones waste less on the few of a published evaluation",
    )
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--scores", type=Path, default=Path("out/benchmark-scores.jsonl"))
    parser.add_argument(
        "--out", type=Path, required=True, help="JSON file; .md and .png go beside it"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
