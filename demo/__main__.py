"""`python -m demo`: a 4-call search on a real model over REST, its schedule reused in diffusers."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from demo import images, pictures
from demo.search import Found, search
from demo.service import running_service
from demo.table import best_grid, named_rows, table_of, uniform_row
from fewstep.client import Client
from fewstep.errors import FewstepError
from fewstep.networks.models import resolve
from fewstep.request import SearchRequest
from fewstep.wire import Model

AGREEMENT = 1e-4  # largest deviation allowed between diffusers' images and ours, in [-1, 1]
NUM_COMPARED = 64
NUM_SHOWN = 10


def main() -> int:
    """Run the demo; 1 where a search failed or the images disagree."""
    options = _parser().parse_args()
    # A pipe has no width of its own; the table needs this much.
    console = Console(width=None if sys.stdout.isatty() else 130)
    started = time.monotonic()
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix="fewstep-demo-") as data_dir:
            log = options.out / "service.log"
            with running_service(Path(data_dir), log) as client:
                console.print(f"service on {client.base_url}, its log in {log}")
                found, control, model = _search_twice(client, options, console)
        agrees = _show(found, control, model, options.out, console)
    except FewstepError as error:
        console.print(f"[red]{error.code}[/red]: {error.message}")
        return 1
    console.print(f"done in {time.monotonic() - started:.0f} s; results in {options.out}/")
    return 0 if agrees else 1


def _search_twice(
    client: Client, options: argparse.Namespace, console: Console
) -> tuple[Found, Found, Model]:
    """The search, and random search at the same budget as its control."""
    request = {
        "model": options.model,
        "solver": "dpm-solver++-2m",
        "nfe": options.nfe,
        "budget": options.budget,
        "seed": options.seed,
        "report_images": options.report_images,
        "report_sets": options.report_sets,
    }
    found, control = (
        search(client, SearchRequest.parse(request | {"strategy": strategy}), console)
        for strategy in ("evolution", "random")
    )
    model = next(model for model in client.models() if model.name == options.model)
    return found, control, model


def _show(found: Found, control: Found, model: Model, out: Path, console: Console) -> bool:
    """Print the table, write the files, and hold diffusers' images against ours."""
    schedule_path = out / "schedule.json"
    schedule_path.write_text(found.schedule.to_json())
    console.print(table_of(named_rows(found.report, control.report), found.report, model))
    uniform, grid = uniform_row(found.report), best_grid(found.report)
    pictures.save_convergence(
        {"evolution": found.report, "random": control.report},
        [uniform, grid],
        out / "convergence.png",
    )
    start = images.start_of(resolve(model.name), NUM_COMPARED)
    ours = images.run_ours(start, found.schedule)
    shown = {
        f"uniform {uniform.solver}, {len(uniform.indices)} calls": images.run_times(
            start, uniform.times, uniform.solver
        ),
        f"best grid ({grid.name.split(' = ')[0]})": images.run_times(
            start, grid.times, grid.solver
        ),
        f"searched, {found.schedule.solver.nfe} calls": ours,
        f"teacher, {model.teacher['nfe']} calls": images.run_teacher(start),
    }
    pictures.save_comparison({k: v[:NUM_SHOWN] for k, v in shown.items()}, out / "samples.png")
    deviation = float((images.run_diffusers(start, found.schedule) - ours).abs().max())
    verdict = "agree" if deviation <= AGREEMENT else "DISAGREE"
    console.print(
        f"diffusers' images {verdict} with ours: largest deviation {deviation:.1e} "
        f"over {NUM_COMPARED} images in [-1, 1], allowed {AGREEMENT:.0e}"
    )
    return deviation <= AGREEMENT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--model", default="zoo:digits", help="model to search for")
    parser.add_argument("--nfe", type=int, default=4, help="network calls of the schedule")
    parser.add_argument("--budget", type=int, default=200_000, help="network calls of each search")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report-images", type=int, default=2048, help="images of a report set")
    parser.add_argument("--report-sets", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the results")
    return parser


if __name__ == "__main__":
    sys.exit(main())
