"""A search without a server: `python -m search --model zoo:digits --nfe 4 --solver ddim`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from evaluators.scorers import EXECUTORS, open_scorer
from evaluators.tasks import make_task
from fewstep.canonical import canonical_json
from fewstep.errors import FewstepError, InvalidInput
from fewstep.named_values import parse_fields, parse_option
from fewstep.networks.models import resolve
from fewstep.request import SearchRequest
from fewstep.schedule import Schedule
from search.console import LiveJournal, print_report
from search.driver import run_search
from search.found import SearchResult
from search.strategies import STRATEGIES

BAD_INPUT = 2
FAILED = 1
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0 done, 1 failed, 2 bad input, 130 interrupted."""
    options = _parser().parse_args(arguments)
    try:
        _check_out(options.out)
        result = _search(options)
        _write(options, result)
    except InvalidInput as error:
        print(f"error: {error.message}", file=sys.stderr)
        return BAD_INPUT
    except FewstepError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("interrupted; nothing was kept", file=sys.stderr)
        return INTERRUPTED
    return 0


def _search(options: argparse.Namespace) -> SearchResult:
    """Validate, load, search."""
    request = SearchRequest.parse(_document(options))
    roots = tuple(options.models)
    card = resolve(request.model, roots=roots)
    task = make_task(
        request.model,
        reference=request.reference,
        guidance=request.guidance,
        guidance_scale=request.guidance_scale,
        clip_denoised=request.clip_denoised,
        has_chains=request.dlg is not None,
        roots=roots,
    )
    with open_scorer(options.executor, task, roots=roots, slots=options.slots) as scorer:
        return run_search(request, scorer, LiveJournal(quiet=options.json), card)


def _write(options: argparse.Namespace, result: SearchResult) -> None:
    """Print the table (or JSON), and write the schedule document where asked."""
    if options.out is not None:
        _write_schedules(options.out, result)
    if options.json:
        found = [schedule.document for schedule in result.schedules]
        print(canonical_json({"schedule": found[0], "others": found[1:], "report": result.report}))
    else:
        print_report(result.report)
        if options.out is not None:
            print(f"schedule written to {options.out}")


def _write_schedules(path: Path, result: SearchResult) -> None:
    """The best to `path`, the rest of its front beside it; each one's repaired tensors too."""
    for number, found in enumerate(result.schedules):
        target = path.with_stem(f"{path.stem}-{number}") if number else path
        target.write_text(Schedule.from_dict(found.document).to_json(), encoding="utf-8")
        if found.weights is not None:
            target.with_suffix(".safetensors").write_bytes(found.weights)


def _document(options: argparse.Namespace) -> dict[str, object]:
    """The request document: what was given on the command line, defaults are the request's."""
    fields = SearchRequest.model_fields.keys() - {
        "initial_times",
        "solver_options",
        "dlg",
        "pruning",
    }
    given = {name: getattr(options, name) for name in sorted(fields)}
    document = {name: value for name, value in given.items() if value is not None}
    if options.solver_options:
        document["solver_options"] = dict(parse_option(text) for text in options.solver_options)
    if options.dlg is not None:
        document["dlg"] = parse_fields(options.dlg, "dlg")
    if options.prune is not None:
        document["pruning"] = parse_fields(options.prune, "prune")
    if options.initial_times:
        document["initial_times"] = [_indices(text) for text in options.initial_times]
    return document


def _indices(text: str) -> list[int]:
    """A start grid written as `657,514,258,18`."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InvalidInput(
            f"initial_times={text!r}: must be integers separated by commas", field="initial_times"
        ) from None


def _check_out(path: Path | None) -> None:
    """Fail before the search, not after it."""
    if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise InvalidInput(
            f"out={str(path)!r}: must be a file in a folder that exists", field="out"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m search",
        description="Search a few-step schedule for a model and report it beside every named grid.",
        epilog="example: python -m search --model zoo:digits --nfe 4 --solver dpm-solver++-2m",
    )
    parser.add_argument("--model", required=True, help="model reference, such as zoo:digits")
    parser.add_argument("--reference", help="reference set of the model (default: the card's)")
    parser.add_argument("--solver", help="solver name (default: dpm-solver++-2m)")
    parser.add_argument("--nfe", type=int, help="denoiser calls of one sample")
    parser.add_argument("--steps", type=int, help="steps, instead of --nfe")
    parser.add_argument("--strategy", help=f"one of: {', '.join(STRATEGIES.names())}")
    parser.add_argument("--paper-fraction", type=float, help="share of the published image counts")
    parser.add_argument("--budget", type=int, help="network calls (default: 200000)")
    parser.add_argument(
        "--option",
        dest="solver_options",
        action="append",
        metavar="NAME=VALUE",
        help="a fixed option of the solver, VALUE as JSON; repeatable",
    )
    parser.add_argument(
        "--search-option",
        dest="search_options",
        action="append",
        metavar="NAME",
        help="an option that the search chooses; repeatable",
    )
    parser.add_argument("--guidance", help="none, classifier-free or classifier")
    parser.add_argument("--guidance-scale", type=float, help="scale of the guidance (default: 1)")
    parser.add_argument(
        "--dlg",
        metavar="KEY=VALUE,...",
        help="draw images from chains; eta and num_skip are searched unless given, as chains=64",
    )
    parser.add_argument(
        "--prune",
        metavar="KEY=VALUE,...",
        nargs="?",
        const="",
        help="prune the network too and report a front of FID and cost, as mode=bands,cost=0.8",
    )
    parser.add_argument(
        "--clip-denoised",
        action=argparse.BooleanOptionalAction,
        help="limit denoised predictions to [-1, 1] (default: the model card's)",
    )
    parser.add_argument("--seed", type=int, help="seed of the search (default: 0)")
    parser.add_argument("--fidelities", type=int, nargs="+", help="images per score, ascending")
    parser.add_argument("--num-finalists", type=int, help="candidates of the selection bank")
    parser.add_argument("--report-images", type=int, help="images per report set (default: 4096)")
    parser.add_argument("--report-sets", type=int, help="report sets (default: 3)")
    parser.add_argument(
        "--initial-times", action="append", metavar="K,K,...", help="a start grid; repeatable"
    )
    parser.add_argument("--executor", choices=EXECUTORS, default="inline")
    parser.add_argument("--slots", type=int, default=1, help="threads or actors (default: 1)")
    parser.add_argument(
        "--models",
        type=Path,
        action="append",
        default=[],
        help="folder of file: models; repeatable",
    )
    parser.add_argument("--json", action="store_true", help="print schedule and report as JSON")
    parser.add_argument(
        "--out",
        type=Path,
        help="write the schedule document to this file; others of its front, and "
        "the tensors that pruned networks need, go beside it",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
