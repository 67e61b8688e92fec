"""Searches compared on the report bank: evolution, random search and paper mode, over seeds.

    python -m benchmarks.searches --model zoo:digits --nfe 4 --solver dpm-solver++-2m ddim \
        --seeds 0 1 2 --out benchmarks/results/searches-digits-nfe4.json

Writes the JSON and a markdown table beside it after every search. Started again, it skips the
searches that the file already holds (rows of other weights are dropped), and takes scores that are
known from `--scores`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

from benchmarks.row_file import read_rows, write_rows
from benchmarks.searches_table import Row, markdown
from evaluators.scorers import EXECUTORS, open_scorer
from evaluators.tasks import make_task
from fewstep.errors import InvalidInput
from fewstep.networks.models import resolve
from fewstep.request import SearchRequest
from search.driver import run_search
from search.score_file import ScoreFileJournal

BAD_INPUT = 2
REPORT_IMAGES = 8192
REPORT_SETS = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    options = _parser().parse_args(arguments)
    try:
        weights = resolve(options.model).weights_sha256
        options.out.parent.mkdir(parents=True, exist_ok=True)
        rows = [row for row in read_rows(options.out) if row["weights_sha256"] == weights]
        done = {row["request"] for row in rows}
        for request in _requests(options):
            if request.identity not in done:
                rows.append(_row(request, options))
                write_rows(options.out, rows, markdown(rows))
    except InvalidInput as error:
        print(f"error: {error.message}", file=sys.stderr)
        return BAD_INPUT
    print(markdown(rows))
    return 0


def _requests(options: argparse.Namespace) -> Iterator[SearchRequest]:
    """Every combination of solver, strategy and seed."""
    for solver, strategy, seed in product(options.solver, options.strategies, options.seeds):
        yield SearchRequest.parse(
            {
                "model": options.model,
                "solver": solver,
                "nfe": options.nfe,
                "strategy": strategy,
                "seed": seed,
                "budget": options.budget,
                "paper_fraction": options.paper_fraction,
                "report_images": options.report_images,
                "report_sets": options.report_sets,
            }
        )


def _row(request: SearchRequest, options: argparse.Namespace) -> Row:
    """Run one search; scores that earlier ones share (the grids' reports) come from the file."""
    card, task = resolve(request.model), make_task(request.model)
    print(f"{request.solver}, {request.strategy}, seed {request.seed} ...", file=sys.stderr)
    started = time.monotonic()
    with (
        ScoreFileJournal(options.scores) as journal,
        open_scorer(options.executor, task, slots=options.slots) as scorer,
    ):
        result = run_search(request, scorer, journal, card)
        computed = sum(not row.cached for row in journal.evaluations.values())
    return {
        "request": request.identity,
        "weights_sha256": card.weights_sha256,
        "seconds": round(time.monotonic() - started, 1),
        "computed": computed,
        "report": result.report,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.searches",
        description="Compare search strategies on the report bank.",
    )
    parser.add_argument("--model", default="zoo:digits")
    parser.add_argument("--nfe", type=int, default=4)
    parser.add_argument("--solver", nargs="+", default=["dpm-solver++-2m", "ddim"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--strategies", nargs="+", default=["evolution", "random", "paper"])
    parser.add_argument("--budget", type=int, default=200_000, help="network calls per search")
    parser.add_argument("--paper-fraction", type=float, default=0.02)
    parser.add_argument("--report-images", type=int, default=REPORT_IMAGES)
    parser.add_argument("--report-sets", type=int, default=REPORT_SETS)
    parser.add_argument("--executor", choices=EXECUTORS, default="inline")
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--scores", type=Path, default=Path("out/benchmark-scores.jsonl"))
    parser.add_argument("--out", type=Path, required=True, help="JSON file; .md goes beside it")
    return parser


if __name__ == "__main__":
    sys.exit(main())
