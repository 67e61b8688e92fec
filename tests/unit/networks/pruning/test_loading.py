"""Pruned schedules loaded: their networks are the scored ones bit for bit; all that is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import fewstep
from evaluators.banks import Bank, NoiseBank
from evaluators.packing import Segment, pack
from evaluators.score import Numerics
from evaluators.tasks import make_task
from evaluators.tile_runner import load_runner
from fewstep.errors import ChecksFailed, InvalidInput, UnknownName
from fewstep.networks.denoising import guided_model, schedule_denoiser
from fewstep.networks.models import load_network, resolve
from fewstep.networks.pruning.assembling import networks_of, repairs_of
from fewstep.networks.pruning.configuration import BlockChoice, NetworkConfiguration
from fewstep.networks.pruning.repair import save_repair
from fewstep.running import run_stacked
from fewstep.schedule import ModelSection, Schedule
from fewstep.solvers import SOLVERS
from tests.model_folder import write_model
from tests.pruned_documents import (
    BLOCKS,
    CARD,
    FULL,
    MODEL,
    REUSING,
    THIN,
    TIMES,
    calibrated,
    of_steps,
    repaired_schedule,
    schedule_of,
)

BANK = Bank("search")
NUM_IMAGES = 32
SPARSE = NetworkConfiguration.of(
    {
        block.name: BlockChoice("heads" if block.kind == "attention" else "groups", (0,))
        for block in BLOCKS[2:5]
    }
)


def _bank_draws() -> tuple[torch.Tensor, torch.Tensor]:
    """Start noise and labels of scoring's bank."""
    bank = NoiseBank(CARD.image_shape, CARD.num_classes, BANK)
    labels = bank.labels(0, NUM_IMAGES)
    assert labels is not None
    return torch.from_numpy(bank.noise(0, NUM_IMAGES)), torch.from_numpy(labels)


@pytest.mark.parametrize(
    ("steps", "repair"),
    [
        ((THIN, THIN, THIN), "none"),
        ((THIN, FULL, SPARSE), "bias"),
        ((FULL, REUSING, THIN), "ridge"),
    ],
)
@torch.inference_mode()
def test_images_are_those_that_were_scored(
    tmp_path: Path, steps: tuple[NetworkConfiguration, ...], repair: Any
) -> None:
    architecture, path = of_steps(*steps, repair=repair), tmp_path / "repair.safetensors"
    runner = load_runner(make_task(MODEL, numerics=Numerics(micro_batch=NUM_IMAGES)))
    sha256 = None
    if repair != "none":
        path.write_bytes(runner.pruned.repair_of(architecture))
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    schedule = schedule_of(architecture, weights_sha256=sha256)
    (tile,) = pack([Segment(schedule.trace(), BANK, 0, NUM_IMAGES, architecture)], NUM_IMAGES)
    scored = runner.images(tile)
    x, labels = _bank_draws()
    pruned = fewstep.load_pruned(
        MODEL, Schedule.from_json(schedule.to_json()), weights=path if sha256 else None
    )
    assert torch.equal(schedule.sample(pruned.denoisers(labels), x), scored)


@pytest.mark.parametrize(
    ("repair", "guidance", "solver"),
    [
        ("bias", {}, "dpm-solver++-2m"),
        ("ridge", {}, "heun"),
        ("ridge", {"guidance_scale": 2.0}, "ddim"),
        ("ridge", {"guidance_scale": 2.0}, "stsp1"),
    ],
)
@torch.inference_mode()
def test_images_are_those_of_the_repaired_tensors(
    tmp_path: Path, repair: Any, guidance: dict[str, float], solver: str
) -> None:
    """As scoring runs them: stacked with another program of the same shape, in one batch."""
    architecture = of_steps(THIN, FULL, SPARSE, repair=repair)
    model = CARD.document_section(**guidance)  # type: ignore[arg-type]
    path = tmp_path / "repair.safetensors"
    schedule = repaired_schedule(path, architecture, solver=solver, model=model)
    network = load_network(CARD)
    networks = networks_of(network, architecture, repairs_of(network, architecture, calibrated()))
    x, labels = _bank_draws()
    denoisers = [
        guided_model(
            CARD,
            network=each,
            guidance=model.guidance,
            scale=model.guidance_scale,
            is_clipped=model.clip_denoised,
        ).denoiser(labels, is_split=SOLVERS.get(solver).is_split)
        for each in networks
    ]
    program = schedule.trace()
    scored = run_stacked([program, program], [20, 12], denoisers, x)
    pruned = fewstep.load_pruned(MODEL, schedule, weights=path)
    found = schedule.sample(pruned.denoisers(labels), x)
    assert torch.equal(found, scored)
    plain = schedule_of(of_steps(THIN, FULL, SPARSE), solver=solver, model=model)
    unrepaired = plain.sample(fewstep.load_pruned(MODEL, plain).denoisers(labels), x)
    assert not torch.equal(found, unrepaired)


@torch.inference_mode()
def test_a_loaded_network_is_as_good_as_its_reference(tmp_path: Path) -> None:
    path, model = tmp_path / "repair.safetensors", CARD.document_section(guidance_scale=2.0)
    architecture = of_steps(FULL, THIN, FULL, repair="bias")
    schedule = repaired_schedule(path, architecture, model=model)
    x, labels = _bank_draws()
    network = load_network(CARD)
    sources: list[Any] = [MODEL, CARD, network]
    images = [
        schedule.sample(
            fewstep.load_pruned(source, schedule, weights=str(path)).denoisers(labels), x
        )
        for source in sources
    ]
    assert torch.equal(images[0], images[1])
    assert torch.equal(images[0], images[2])
    assert not any(parameter.requires_grad for parameter in network.parameters())


@torch.inference_mode()
def test_classifier_guidance_and_models_without_classes_sample_too(tmp_path: Path) -> None:
    from fewstep.networks.guidance import label_guide

    x, labels = _bank_draws()
    guided = schedule_of(
        of_steps(FULL, THIN, FULL),
        model=CARD.document_section(guidance_scale=2.0, guide=label_guide(CARD)),
    )
    images = guided.sample(fewstep.load_pruned(MODEL, guided).denoisers(labels), x)
    assert images.isfinite().all()
    with pytest.raises(InvalidInput, match="its guide lies beside the model's card") as caught:
        fewstep.load_pruned(load_network(CARD), guided)
    assert caught.value.field == "model.guidance"
    reference = write_model(tmp_path, is_conditional=False, num_images=70)
    card = resolve(reference, roots=[tmp_path])
    plain = schedule_of(of_steps(FULL, THIN, FULL), model=card.document_section())
    unlabelled = fewstep.load_pruned(reference, plain, roots=[tmp_path])
    found = plain.sample(unlabelled.denoisers(labels), x)
    assert torch.equal(
        found, plain.sample(fewstep.load_pruned(load_network(card), plain).denoisers(labels), x)
    )


def test_an_architecture_for_other_weights_is_refused(tmp_path: Path) -> None:
    schedule = schedule_of(of_steps(FULL, THIN, FULL))
    reference = write_model(tmp_path, num_images=70)
    with pytest.raises(ChecksFailed, match="an architecture for other weights") as caught:
        fewstep.load_pruned(reference, schedule, roots=[tmp_path])
    assert caught.value.field == "model.checkpoint_sha256"
    assert CARD.weights_sha256 in caught.value.message
    assert reference in caught.value.message
    with pytest.raises(UnknownName):
        fewstep.load_pruned("zoo:nothing", schedule)


def _model(**changes: object) -> ModelSection:
    return CARD.document_section().model_copy(update=changes)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (lambda: schedule_of(of_steps(FULL, THIN, FULL), model=_model(num_classes=None)), "None"),
        (lambda: schedule_of(of_steps(FULL, THIN, FULL), model=_model(num_classes=12)), "12"),
        (
            lambda: schedule_of(of_steps(FULL, THIN, FULL), model=_model(image_shape=(3, 8, 8))),
            r"model\.image_shape\[0\]=3: the network given has 1",
        ),
        (
            lambda: schedule_of(of_steps(FULL, THIN, FULL), model=_model(prediction="velocity")),
            r"model\.prediction='velocity'",
        ),
        (
            lambda: Schedule.build(TIMES, model=CARD.document_section(), solver="ddim"),
            "allowed: a pruned schedule",
        ),
    ],
)
def test_a_document_of_another_network_is_refused(
    schedule: Callable[[], Schedule], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        fewstep.load_pruned(load_network(CARD), schedule())


def test_files_of_other_tensors_are_refused(tmp_path: Path) -> None:
    """Their checksum is the document's, but what they hold is not what was cut."""
    architecture = of_steps(FULL, THIN, SPARSE, repair="ridge")
    repairs = repairs_of(load_network(CARD), architecture, calibrated())
    name, tensor = sorted(repairs[1].items())[0]
    damaged: dict[str, Any] = {
        "repairs: 2 of them; allowed: 3": repairs[:2],
        "no tensors for configuration 1": [repairs[0], {}, repairs[2]],
        "repair.": [repairs[0], repairs[2], repairs[1]],
        f"repair.{name}: {tuple(tensor[:1].shape)}": [
            repairs[0],
            repairs[1] | {name: tensor[:1]},
            repairs[2],
        ],
        "repair.zzz": [repairs[0], repairs[1] | {"zzz": tensor.clone()}, repairs[2]],
    }
    for number, (message, configurations) in enumerate(damaged.items()):
        path = tmp_path / f"{number}.safetensors"
        schedule = schedule_of(architecture, weights_sha256=save_repair(path, configurations))
        with pytest.raises(InvalidInput) as caught:
            fewstep.load_pruned(MODEL, schedule, weights=path)
        assert message in caught.value.message, caught.value.message


def test_a_pruned_schedule_has_no_denoiser_of_the_full_network() -> None:
    schedule = schedule_of(of_steps(FULL, THIN, FULL))
    with pytest.raises(InvalidInput, match=r"fewstep\.load_pruned for one with it"):
        schedule_denoiser(schedule, CARD, labels=torch.zeros(2, dtype=torch.int64))
