"""`fewstep sample` without a service: every solver, guidance, chains, and what it tells of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import avg_pool2d

import fewstep
from evaluators.features import load_extractor
from fewstep.commands.direct_options import DirectOptions
from fewstep.commands.direct_sampling import Drawn, draw
from fewstep.commands.png import encode_grid
from fewstep.commands.sampling_plan import plan_of_options
from fewstep.commands.seeded_noise import Stream, image_noise
from fewstep.guidance import cost_of
from fewstep.mcmc.plan import ChainPlan
from fewstep.networks.denoising import balanced_labels, model_denoiser
from fewstep.networks.guidance import level_guide
from fewstep.networks.models import resolve
from fewstep.price import calls_by_kind
from fewstep.schedule import Schedule
from fewstep.solvers import SOLVERS
from tests.model_folder import write_model
from tests.unit.client.program_run import Ended, Sample
from tests.unit.client.sampling_inputs import MODEL, digits, left_half


@pytest.fixture
def known(tmp_path: Path) -> Path:
    """A condition file: three digits, their left half known."""
    path = tmp_path / "known.safetensors"
    save_file({"image": digits(), "mask": left_half()}, path)
    return path


def report_of(done: Ended) -> dict[str, Any]:
    """What `--json` printed."""
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def drawn(*, num: int = 20, seed: int = 0, **direct: Any) -> Drawn:
    """Images of the bundled model."""
    options = DirectOptions(model="zoo:digits", **direct)
    return draw(plan_of_options(options, roots=()), num=num, seed=seed)


def floats(images: Tensor) -> Tensor:
    """Bytes as pixels in [-1, 1]."""
    return images.float() / 127.5 - 1.0


def one_of_each_family() -> list[Any]:
    """Every solver; those whose function another has, too, are left to the slow suite."""
    seen: set[object] = set()
    names = []
    for name in SOLVERS.names():
        function = SOLVERS.get(name).function
        names.append(pytest.param(name, marks=[pytest.mark.slow] if function in seen else []))
        seen.add(function)
    return names


@pytest.mark.parametrize("name", one_of_each_family())
def test_every_solver_samples_at_the_calls_it_promises(name: str) -> None:
    solver = SOLVERS.get(name)
    steps = solver.memory + 2
    guidance = "classifier" if solver.is_split else "none"
    found = drawn(num=2, solver=name, steps=steps, guidance=guidance)
    assert found.report["calls"] == calls_by_kind(name, steps)
    assert found.report["diverged"] == 0
    assert len(found.images.unique()) > 1


def test_images_are_those_of_the_library(sample: Sample) -> None:
    done = sample(*MODEL, "--solver", "unipc-3", "--nfe", "6", "--seed", "5", "--num", "4")
    assert done.returncode == 0, done.stderr
    card = resolve("zoo:digits")
    process = card.make_process()
    with torch.no_grad():
        images = fewstep.sample(
            model_denoiser(card, labels=balanced_labels(card, 4)),
            image_noise(5, Stream.START, range(4), card.image_shape)[0],
            times=fewstep.grid("log-snr", process, 6),
            process=process,
            solver="unipc-3",
        )
    pixels = ((images + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)
    assert Path("samples.png").read_bytes() == encode_grid(pixels.numpy())


def test_the_seed_decides_the_images_of_stochastic_solvers(sample: Sample) -> None:
    pictures = []
    for i, seed in enumerate(["1", "1", "2"]):
        command = [*MODEL, "--solver", "ddpm", "--steps", "6", "--seed", seed, "--out", f"{i}.png"]
        assert sample(*command).returncode == 0
        pictures.append(Path(f"{i}.png").read_bytes())
    assert pictures[0] == pictures[1] != pictures[2]


def test_more_images_only_add() -> None:
    few = drawn(num=3, solver="ddpm", steps=6).images
    many = drawn(num=66, solver="ddpm", steps=6).images
    difference = (few.int() - many[:3].int()).abs().max()
    assert difference <= 1, difference  # a batch of another size may round differently
    noise = image_noise(3, Stream.SOLVER, range(66), (1, 8, 8), terms=2)
    assert torch.equal(noise[:1, :2], image_noise(3, Stream.SOLVER, range(2), (1, 8, 8)))
    assert not torch.equal(noise[0, 0], noise[0, 1])


def test_labels_are_taken_in_turn() -> None:
    judge = load_extractor(resolve("zoo:digits").extractor)
    found = drawn(solver="dpm-solver++-2m", nfe=10, labels=(7, 1))
    wanted = torch.tensor([7, 1] * 10)
    accuracy = (judge.logits(found.images).argmax(1) == wanted).double().mean()
    assert accuracy >= 0.9, accuracy


@pytest.mark.parametrize(
    ("solver", "guidance", "scale"),
    [
        ("heun", "none", 1.0),
        ("heun", "classifier-free", 2.0),
        ("ltsp2", "classifier-free", 2.0),
        ("heun", "classifier", 1.5),
        ("stsp2", "classifier", 1.5),
    ],
)
def test_passes_and_gradients_are_those_that_the_price_says(
    solver: str, guidance: Any, scale: float
) -> None:
    report = drawn(num=3, solver=solver, steps=4, guidance=guidance, guidance_scale=scale).report
    cost = cost_of(report["calls"], guidance)
    assert (report["passes"], report["gradients"]) == (cost.passes, cost.gradients)
    seconds = report["seconds"]
    assert seconds["total"] >= seconds["network"] + seconds["gradient"]
    assert (seconds["gradient"] > 0.0) == (cost.gradients > 0)


def test_a_scale_alone_is_classifier_free_guidance(sample: Sample) -> None:
    report = report_of(
        sample(*MODEL, "--solver", "ddim", "--nfe", "3", "--guidance-scale", "2", "--json")
    )
    assert (report["guidance"], report["passes"]) == ("classifier-free", 6.0)


@pytest.mark.parametrize(
    ("guidance", "scale", "floor"), [("classifier", 2.0, 0.8), ("text", 40.0, 0.5)]
)
def test_guides_lead_to_the_wanted_class(guidance: str, scale: float, floor: float) -> None:
    judge = load_extractor(resolve("zoo:digits").extractor)
    found = drawn(solver="ltsp2", nfe=20, guidance=guidance, guidance_scale=scale, labels=(3,))
    accuracy = (judge.logits(found.images).argmax(1) == 3).double().mean()
    assert accuracy >= floor, accuracy


@pytest.mark.parametrize(
    ("guidance", "scale", "through"),
    [
        ("inpainting", 1.0, False),
        ("inpainting", 0.5, True),
        ("super-resolution", 4.0, False),
        ("super-resolution", 1.0, True),
        ("colourisation", 4.0, False),
    ],
)
def test_measured_guidance_comes_nearer_to_what_is_known(
    known: Path, guidance: str, scale: float, through: bool
) -> None:
    common: dict[str, Any] = {"num": 6, "solver": "ddim", "nfe": 20, "grid": "linspace"}
    found = drawn(
        **common,
        guidance=guidance,
        guidance_scale=scale,
        condition=known,
        through_denoiser=through,
    )
    targets = digits().repeat(2, 1, 1, 1)

    def distance(images: Tensor) -> float:
        gap = floats(images) - targets
        if guidance == "inpainting":
            return float((gap * left_half()).abs().sum() / left_half().sum() / 6)
        return float(avg_pool2d(gap, 2).abs().mean())

    free, guided = distance(drawn(**common).images), distance(found.images)
    assert guided < 0.75 * free, (guided, free)
    assert found.report["passes"] == (40.0 if through else 20.0)
    assert found.report["gradients"] == 20.0


def test_what_is_put_in_is_in_the_images(known: Path) -> None:
    found = drawn(
        num=4,
        solver="ltsp2",
        nfe=8,
        guidance="inpainting",
        condition=known,
        impute=True,
    )
    gap = (floats(found.images) - digits()[[0, 1, 2, 0]]) * left_half()
    assert gap.abs().max() <= 1.0 / 127.5, gap.abs().max()


def test_one_small_image_is_enough_for_all(tmp_path: Path) -> None:
    small = torch.tensor([[[1.0, -1.0], [-1.0, 1.0]]])  # unlike any digit
    save_file({"image": small}, tmp_path / "small.safetensors")
    common: dict[str, Any] = {"num": 6, "solver": "ddim", "nfe": 10, "grid": "linspace"}
    guided = drawn(
        **common,
        guidance="super-resolution",
        guidance_scale=16.0,
        condition=tmp_path / "small.safetensors",
    )
    gaps = [
        float((avg_pool2d(floats(found.images), 4) - small).abs().mean())
        for found in (guided, drawn(**common))
    ]
    assert gaps[0] < 0.9 * gaps[1], gaps


def test_chains_account_for_every_pass_and_repeat_with_the_seed() -> None:
    common: dict[str, Any] = {"solver": "heun", "steps": 3}
    dlg = "eta=0.1,num_skip=4,chains=3,burn_in=2,tweedie_rho=0.02"
    found = drawn(num=7, dlg=dlg, **common)
    calls = found.report["dlg"]["calls"]
    spent = [calls[k] for k in ("initialisation", "burn_in", "langevin", "denoising", "tweedie")]
    assert spent == [3 * 20, 3 * 2, 9 * 4, 9 * 5, 9]
    assert found.report["passes"] * 7 == pytest.approx(sum(spent))
    assert found.report["dlg"]["plotted_per_image"] == 4 + 5
    assert found.report["dlg"]["all_in_per_image"] == pytest.approx(sum(spent) / 7)
    assert found.report["dlg"]["settings"]["num_skip"] == 4
    assert torch.equal(found.images, drawn(num=7, dlg=dlg, **common).images)
    assert not torch.equal(found.images, drawn(num=7, dlg=dlg, seed=1, **common).images)


def test_chains_and_labels_give_the_classes_of_the_labels() -> None:
    judge = load_extractor(resolve("zoo:digits").extractor)
    found = drawn(solver="heun", steps=4, dlg="eta=0.1,num_skip=2,chains=4", labels=(0, 1))
    accuracy = (judge.logits(found.images).argmax(1) == torch.tensor([0, 1] * 10)).double().mean()
    assert accuracy >= 0.8, accuracy


def test_a_schedule_and_the_same_options_draw_the_same_images(sample: Sample) -> None:
    card = resolve("zoo:digits")
    times = fewstep.grid("trailing", card.make_process(), 5)
    schedule = Schedule.build(
        times, model=card.document_section(), solver="ddpm", options={"eta": 0.5}
    )
    Path("schedule.json").write_text(schedule.to_json())
    direct = ["--solver", "ddpm", "--nfe", "5", "--grid", "trailing", "--option", "eta=0.5"]
    reports = [
        report_of(sample("--schedule", "schedule.json", "--out", "1.png", "--json")),
        report_of(sample(*MODEL, *direct, "--out", "2.png", "--json")),
    ]
    assert Path("1.png").read_bytes() == Path("2.png").read_bytes()
    ignored = {"seconds", "file"}
    first, second = ({k: v for k, v in r.items() if k not in ignored} for r in reports)
    assert first == second


def test_a_schedule_with_chains_starts_them_anew_after_their_windows(sample: Sample) -> None:
    card = resolve("zoo:digits")
    times = [card.make_process().time_of(index) for index in (300, 150, 30)]
    chains = ChainPlan(eta=0.1, num_skip=2, chains=2, burn_in=1, start_calls=4)
    schedule = Schedule.build([*times, 0.0], model=card.document_section(), solver="ddim")
    document = schedule.with_chains(chains, guide=level_guide(card), images=4)
    Path("schedule.json").write_text(document.to_json())
    report = report_of(sample("--schedule", "schedule.json", "--num", "5", "--json"))
    calls = report["dlg"]["calls"]
    assert (calls["initialisation"], calls["burn_in"]) == (2 * 2 * 4, 2 * 2 * 1)
    assert (calls["langevin"], calls["denoising"]) == (6 * 2, 6 * 3)
    assert report["passes"] * 5 == pytest.approx(16 + 4 + 12 + 18)
    assert report["dlg"]["plotted_per_image"] == document.nfe


def test_a_model_without_labels_or_guides_samples_from_its_folder(
    sample: Sample, tmp_path: Path
) -> None:
    reference = write_model(tmp_path, is_conditional=False, num_images=70)
    arguments = ["--model", reference, "--root", str(tmp_path), "--solver", "ddim", "--nfe", "2"]
    assert report_of(sample(*arguments, "--json"))["passes"] == 2.0
    for extra, expected in [
        (["--label", "0"], "label=0: no class of file:random"),
        (["--guidance-scale", "2"], "no null label"),
        (["--guidance", "classifier"], "no guide of kind 'noisy-label'"),
        (["--dlg", "eta=0.1,num_skip=2"], "no guide of kind 'noise-level'"),
    ]:
        done = sample(*arguments, *extra)
        assert done.returncode == 2, done
        assert expected in done.stderr, done.stderr


def test_images_that_are_not_finite_are_told(sample: Sample, tmp_path: Path) -> None:
    reference = write_model(tmp_path, num_images=70, output_bias=float("nan"))
    done = sample("--model", reference, "--root", str(tmp_path), "--solver", "ddim", "--nfe", "2")
    assert done.returncode == 0
    assert "2 images are not finite" in done.stderr


def test_a_program_that_rounding_errors_grow_in_is_told(sample: Sample) -> None:
    done = sample(*MODEL, "--solver", "add4", "--nfe", "8", "--guidance-scale", "2")
    assert "warning: condition 235 of the program is above 30" in done.stderr


def test_limits_on_predictions_can_be_lifted() -> None:
    limited = drawn(num=4, solver="ddim", nfe=4).images
    assert torch.equal(limited, drawn(num=4, solver="ddim", nfe=4, clip=True).images)
    assert not torch.equal(limited, drawn(num=4, solver="ddim", nfe=4, clip=False).images)


def test_lines_for_people_tell_calls_passes_and_gradients(sample: Sample) -> None:
    done = sample(*MODEL, "--solver", "stsp2", "--nfe", "3", "--guidance", "classifier")
    expected = (
        "samples.png: 2 images by zoo:digits, stsp2, 3 calls, 3 network passes, 6 gradients, "
    )
    assert done.stdout.startswith(expected), done.stdout
    done = sample(*MODEL, "--solver", "heun", "--nfe", "3", "--dlg", "eta=0.1,num_skip=4,chains=2")
    assert "7 calls in a chain's window, 27.0 with the chains' start" in done.stdout
