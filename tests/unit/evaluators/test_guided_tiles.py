"""Tiles under guidance: images do not depend on their neighbours, and splits are what they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from evaluators.banks import Bank
from evaluators.packing import Part, Segment, Tile
from evaluators.score import Numerics, Task
from evaluators.tasks import card_of, make_task
from evaluators.teacher import teacher_task
from evaluators.tile_runner import load_runner
from fewstep.errors import ChecksFailed, InvalidInput
from fewstep.networks.denoising import model_denoiser
from fewstep.networks.models import resolve
from fewstep.process import VPDiscrete
from fewstep.program import trace
from fewstep.running import run
from tests.model_folder import write_model

COST = 0.3
PROCESS = VPDiscrete.linear()
SCHEDULES = {"even": (1.0, 0.75, 0.5, 0.25, 0.0), "late": (0.6, 0.4, 0.2, 0.05, 0.0)}
GUIDANCE = {"classifier": 2.0, "classifier-free": 2.5}


@pytest.fixture(scope="module")
def guide_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model root with a model that has a guide."""
    folder = tmp_path_factory.mktemp("guided")
    write_model(folder, gradient_cost=COST)
    return folder


def task_of(guide_root: Path, guidance: str) -> Task:
    return make_task(
        "file:random",
        guidance=guidance,  # type: ignore[arg-type]
        guidance_scale=GUIDANCE[guidance],
        numerics=Numerics(micro_batch=32),
        roots=[guide_root],
    )


def segment(schedule: str, start: int, stop: int, solver: str) -> Segment:
    program = trace(SCHEDULES[schedule], process=PROCESS, solver=solver)
    return Segment(program, Bank("search"), start, stop)


def tile(*segments: Segment) -> Tile:
    return Tile(tuple(Part(work, each) for work, each in enumerate(segments)))


@pytest.mark.parametrize("solver", ["ddim", "ltsp4", "stsp4"])
@pytest.mark.parametrize("guidance", GUIDANCE)
def test_images_are_the_same_bits_at_any_place_beside_any_neighbours(
    guide_root: Path, guidance: str, solver: str
) -> None:
    runner = load_runner(task_of(guide_root, guidance), roots=[guide_root])
    alone = runner.features(tile(segment("even", 4, 9, solver)))
    beside = runner.features(tile(segment("late", 0, 20, solver), segment("even", 4, 9, solver)))[
        20:25
    ]
    assert (alone == beside).all(), abs(alone - beside).max()


@pytest.mark.parametrize("solver", ["ddim", "ltsp4"])
@pytest.mark.parametrize("guidance", GUIDANCE)
def test_a_tile_holds_the_images_that_the_library_draws(
    guide_root: Path, guidance: str, solver: str
) -> None:
    task = task_of(guide_root, guidance)
    part = segment("even", 0, 32, solver)
    with torch.inference_mode():
        images = load_runner(task, roots=[guide_root]).images(tile(part))
    bank = task.noise_bank(part.bank)
    labels = bank.labels(0, 32)
    assert labels is not None
    denoiser = model_denoiser(
        card_of(task, roots=[guide_root]),
        labels=torch.from_numpy(labels),
        guidance=task.guidance,
        guidance_scale=task.guidance_scale,
        is_split=solver == "ltsp4",
    )
    expected = run(part.program, denoiser, torch.from_numpy(bank.noise(0, 32)))
    torch.testing.assert_close(images, expected, rtol=0.0, atol=1e-5)


def test_classifier_guidance_starts_from_the_unconditional_model(guide_root: Path) -> None:
    unscaled = replace(task_of(guide_root, "classifier"), guidance_scale=0.0)
    part = tile(segment("even", 0, 8, "ddim"))
    card = resolve("file:random", roots=[guide_root])
    assert card.null_label is not None
    null = model_denoiser(card, labels=torch.full((32,), card.null_label))
    runner = load_runner(unscaled, roots=[guide_root])
    noise = torch.from_numpy(unscaled.noise_bank(Bank("search")).noise(0, 8))
    noise = torch.cat([noise, torch.zeros(24, 1, 8, 8)])
    with torch.inference_mode():
        expected = run(part.parts[0].segment.program, null, noise)[:8]
        torch.testing.assert_close(runner.images(part)[:8], expected, rtol=0.0, atol=1e-5)


def test_a_task_pins_the_guide_and_its_price(guide_root: Path) -> None:
    task = task_of(guide_root, "classifier")
    assert task.guide is not None
    assert (task.guide.name, task.guide.gradient_cost) == ("labels", COST)
    assert (
        task.guide.sha256 == resolve("file:random", roots=[guide_root]).guides["labels"]["sha256"]
    )
    assert task_of(guide_root, "classifier-free").guide is None
    other = replace(task, guide=replace(task.guide, sha256="0" * 64))
    with pytest.raises(ChecksFailed, match="guide"):
        card_of(other, roots=[guide_root])


def test_the_teacher_gate_is_unguided(guide_root: Path) -> None:
    task = task_of(guide_root, "classifier")
    card = card_of(task, roots=[guide_root])
    assert teacher_task(task, card).guidance == "none"


def test_a_model_without_a_guide_is_refused_by_what_is_missing(root: Path) -> None:
    with pytest.raises(InvalidInput, match="no noisy-label guide") as caught:
        make_task("file:random", guidance="classifier", roots=[root])
    assert caught.value.field == "guidance"
