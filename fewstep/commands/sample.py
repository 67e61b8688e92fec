"""`fewstep sample`: make images, with a schedule or with a solver on a grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewstep.commands.options import AsJson, number, whole, within
from fewstep.commands.output_file import write_file
from fewstep.commands.text import write_json_value
from fewstep.errors import InvalidInput

if TYPE_CHECKING:
    from fewstep.commands.direct_options import DirectOptions
    from fewstep.commands.sampling_plan import SamplingPlan

MAX_IMAGES = 4096
MAX_SEED = 2**31 - 1

_DIRECT = "Without a schedule"
_GUIDANCE = "Guidance, without a schedule"


def sample(
    *,
    schedule_file: Annotated[
        Path | None, typer.Option("--schedule", help="Schedule document; it says it all.")
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Safetensors file of repaired tensors, for pruned schedules: `fewstep weights`."
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Model, as zoo:digits.", rich_help_panel=_DIRECT)
    ] = None,
    solver: Annotated[
        str | None,
        typer.Option(help="Solver; `fewstep solvers` lists them.", rich_help_panel=_DIRECT),
    ] = None,
    nfe: Annotated[
        int | None,
        typer.Option(
            parser=whole,
            metavar="INTEGER",
            help="Network calls of one image.",
            rich_help_panel=_DIRECT,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            parser=whole,
            metavar="INTEGER",
            help="Solver steps, instead of --nfe.",
            rich_help_panel=_DIRECT,
        ),
    ] = None,
    grid: Annotated[
        str | None,
        typer.Option(
            help="Named grid, log-snr unless given; `fewstep grids` lists them.",
            rich_help_panel=_DIRECT,
        ),
    ] = None,
    times: Annotated[
        str | None,
        typer.Option(
            help="Training indices instead of a named grid, as 999,700,300,50.",
            rich_help_panel=_DIRECT,
        ),
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            help="Option of the solver, as eta=0.5 or order=[1,2,2]; repeatable.",
            rich_help_panel=_DIRECT,
        ),
    ] = None,
    clip: Annotated[
        bool | None,
        typer.Option(
            "--clip/--no-clip",
            help="Limit clean predictions to [-1, 1]; the model's own choice unless given.",
            rich_help_panel=_DIRECT,
        ),
    ] = None,
    dlg: Annotated[
        str | None,
        typer.Option(
            help="Denoising MCMC, as eta=0.1,num_skip=4; also chains=32 and its other settings.",
            rich_help_panel=_DIRECT,
        ),
    ] = None,
    guidance: Annotated[
        str | None,
        typer.Option(
            help="none, classifier-free, classifier, inpainting, super-resolution, colourisation"
            " or text.",
            rich_help_panel=_GUIDANCE,
        ),
    ] = None,
    guidance_scale: Annotated[
        float | None,
        typer.Option(
            parser=number, metavar="NUMBER", help="Its scale, 1.", rich_help_panel=_GUIDANCE
        ),
    ] = None,
    labels: Annotated[
        list[int] | None,
        typer.Option(
            "--label",
            parser=whole,
            metavar="INTEGER",
            help="Class; several are taken in turn.",
            rich_help_panel=_GUIDANCE,
        ),
    ] = None,
    condition: Annotated[
        Path | None,
        typer.Option(
            help="Safetensors file of what is known: image, and mask for inpainting.",
            rich_help_panel=_GUIDANCE,
        ),
    ] = None,
    through_denoiser: Annotated[
        bool,
        typer.Option(
            "--through-denoiser",
            help="Compare the clean prediction instead of the state.",
            rich_help_panel=_GUIDANCE,
        ),
    ] = False,
    impute: Annotated[
        bool,
        typer.Option(
            "--impute", help="Put in what is known after each step.", rich_help_panel=_GUIDANCE
        ),
    ] = False,
    num: Annotated[
        int, typer.Option(parser=whole, metavar="INTEGER", help=f"Images, 1 to {MAX_IMAGES}.")
    ] = 16,
    seed: Annotated[
        int, typer.Option(parser=whole, metavar="INTEGER", help="Seed of all noise.")
    ] = 0,
    out: Annotated[Path, typer.Option("--out", "-o", help="PNG file.")] = Path("samples.png"),
    roots: Annotated[
        list[Path] | None, typer.Option("--root", help="Folder of file:NAME models; repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Draw images with a schedule, or with any solver, grid and guidance. Needs no service.

    Example: fewstep sample --schedule schedule.json --num 16 --out grid.png

    Example: fewstep sample --model zoo:digits --solver ddim --nfe 8
    """
    within(num, 1, MAX_IMAGES, "num")
    within(seed, 0, MAX_SEED, "seed")
    from fewstep.commands.direct_options import DirectOptions  # brings the solvers, and numpy

    direct = DirectOptions(
        model=model,
        solver=solver,
        nfe=nfe,
        steps=steps,
        grid=grid,
        times=times,
        options=tuple(options or ()),
        guidance=guidance,
        guidance_scale=guidance_scale,
        labels=tuple(labels or ()),
        condition=condition,
        through_denoiser=through_denoiser,
        impute=impute,
        clip=clip,
        dlg=dlg,
    )
    plan = _plan(schedule_file, weights, direct, roots or ())
    _draw(plan, num=num, seed=seed, out=out, as_json=as_json)


def _plan(
    schedule_file: Path | None,
    weights: Path | None,
    direct: DirectOptions,
    roots: Sequence[Path],
) -> SamplingPlan:
    """All that can be refused is refused here, before torch is imported."""
    from fewstep.commands.direct_options import refuse_with_schedule
    from fewstep.commands.sampling_plan import plan_of_options, plan_of_schedule
    from fewstep.schedule import Schedule

    if schedule_file is None:
        if weights is not None:
            raise InvalidInput(
                f"--weights={str(weights)!r}: not without --schedule, whose pruned networks the "
                "file is for",
                field="weights",
            )
        return plan_of_options(direct, roots=roots)
    refuse_with_schedule(direct)
    try:
        schedule = Schedule.load(schedule_file)
    except OSError as error:
        raise InvalidInput(
            f"--schedule={str(schedule_file)!r}: {error.strerror}", field="schedule"
        ) from None
    return plan_of_schedule(schedule, roots=roots, weights=weights)


def _draw(plan: SamplingPlan, *, num: int, seed: int, out: Path, as_json: bool) -> None:
    from fewstep.commands.direct_sampling import draw  # brings torch
    from fewstep.commands.png import encode_grid

    drawn = draw(plan, num=num, seed=seed)
    write_file(out, encode_grid(drawn.images.numpy()))
    report = {"file": str(out), "num": num, "seed": seed, **drawn.report}
    if as_json:
        write_json_value(report)
    else:
        typer.echo(f"{out}: {num} images by {_describe(report)}")
    for warning in _warnings(report):
        typer.echo(f"warning: {warning}", err=True)


def _describe(report: Mapping[str, Any]) -> str:
    """Model, solver and what an image took."""
    parts = [report["model"], report["solver"], f"{report['nfe']} calls"]
    if report["dlg"] is not None:
        plotted, all_in = report["dlg"]["plotted_per_image"], report["dlg"]["all_in_per_image"]
        parts[-1] = f"{plotted} calls in a chain's window, {all_in:.1f} with the chains' start"
    parts.append(f"{report['passes']:g} network passes")
    if report["gradients"]:
        parts.append(f"{report['gradients']:g} gradients")
    if report["architecture"] is not None:
        share = report["architecture"]["macs"] / report["architecture"]["full_macs"]
        parts.append(f"{share:.1%} of the full network's multiply-adds")
    return ", ".join([*parts, f"{report['seconds']['total']:.2f} s"])


def _warnings(report: Mapping[str, Any]) -> list[str]:
    from fewstep.program import HIGH_CONDITION

    found = []
    if report["condition"] > HIGH_CONDITION:
        found.append(
            f"condition {report['condition']:.0f} of the program is above {HIGH_CONDITION:g}: "
            "rounding errors show"
        )
    if report["diverged"]:
        found.append(f"{report['diverged']} images are not finite: the solver diverged")
    return found
