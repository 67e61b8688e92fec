"""From names to a task: which weights, reference statistics and extractor a score stands on.

Torch-free. A task pins everything by checksum; whoever loads what it names checks them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evaluators.features import extractor_identity
from evaluators.references import ReferenceStatistics, load_reference
from evaluators.score import Guide, LevelGuide, Numerics, Task
from fewstep.canonical import content_hash
from fewstep.errors import ChecksFailed, InvalidInput
from fewstep.guidance import Guidance
from fewstep.networks.card import ModelCard
from fewstep.networks.guidance import check_guidance, label_guide, level_guide
from fewstep.networks.models import resolve
from fewstep.networks.pruning.blocks import PrunableBlock, adm_blocks
from fewstep.process import VPDiscrete


def make_task(
    model: str,
    *,
    reference: str | None = None,
    guidance: Guidance | None = None,
    guidance_scale: float = 1.0,
    clip_denoised: bool | None = None,
    numerics: Numerics | None = None,
    has_chains: bool = False,
    roots: Sequence[Path] = (),
) -> Task:
    """The task of scoring candidates of a model.

    Args:
        model: Model reference, such as `zoo:digits`.
        reference: Name of a reference set of its card; None is the card's default.
        guidance: Kind of guidance; None is classifier-free, or none at scale 1.
        guidance_scale: Scale of the guidance.
        clip_denoised: Whether denoised predictions are limited to [-1, 1]; None is as the card has
            it.
        numerics: How it is computed; None is float32 on the CPU, one thread an operation.
        has_chains: Whether candidates may be drawn from chains, which takes a noise-level guide.
        roots: Folders in which `file:` models are found.

    Raises:
        InvalidInput: unknown names, guidance or chains that the model cannot do, or a reference
            whose extractor or image size is not the model's.
    """
    card = resolve(model, roots=roots)
    if guidance is None:
        guidance = "none" if guidance_scale == 1.0 else "classifier-free"
    check_guidance(card, guidance, guidance_scale)
    name = card.default_reference if reference is None else reference
    statistics = load_reference(card.reference_path(name))
    task = Task(
        model=model,
        weights_sha256=card.weights_sha256,
        definition_sha256=definition_sha256(card),
        image_shape=card.image_shape,
        num_classes=card.num_classes,
        reference=name,
        reference_sha256=statistics.sha256,
        extractor=extractor_identity(card.extractor),
        guidance_scale=guidance_scale,
        clip_denoised=card.clip_denoised if clip_denoised is None else clip_denoised,
        numerics=Numerics() if numerics is None else numerics,
        guide=_guide(card) if guidance == "classifier" else None,
        level_guide=_level_guide(card) if has_chains else None,
    )
    _check_reference(task, statistics)
    return task


def _guide(card: ModelCard) -> Guide:
    """The card's noisy-label guide."""
    section = label_guide(card)
    return Guide(name=section.name, sha256=section.sha256, gradient_cost=section.gradient_cost)


def _level_guide(card: ModelCard) -> LevelGuide:
    """The card's noise-level guide."""
    section = level_guide(card)
    return LevelGuide(name=section.name, sha256=section.sha256)


def definition_sha256(card: ModelCard) -> str:
    """Hash of what a card says, beside the weights, that changes images."""
    return content_hash(
        {
            "architecture": card.architecture,
            "process": card.make_process().describe(),
            "prediction": card.prediction,
            "num_classes": card.num_classes,
            "null_label": card.null_label,
            "image_shape": list(card.image_shape),
        }
    )


def card_of(task: Task, *, roots: Sequence[Path] = ()) -> ModelCard:
    """The card of the task's model.

    Raises:
        ChecksFailed: the model now found under that name is not the one the task was made for.
    """
    card = resolve(task.model, roots=roots)
    pairs = {
        "weights": (card.weights_sha256, task.weights_sha256),
        "definition": (definition_sha256(card), task.definition_sha256),
        "extractor": (extractor_identity(card.extractor), task.extractor),
    }
    if task.guide is not None:
        pairs["guide"] = (_guide(card).sha256, task.guide.sha256)
    if task.level_guide is not None:
        pairs["noise-level guide"] = (_level_guide(card).sha256, task.level_guide.sha256)
    for part, (is_, was) in pairs.items():
        if is_ != was:
            raise ChecksFailed(
                f"model={task.model!r}: {part} {is_}, but the task was made for {was}: "
                "the model changed; make a new task",
                field="model",
            )
    return card


def process_of(task: Task, *, roots: Sequence[Path] = ()) -> VPDiscrete:
    """The noise process of the task's model."""
    return card_of(task, roots=roots).make_process()


def blocks_of(task: Task, *, roots: Sequence[Path] = ()) -> tuple[PrunableBlock, ...]:
    """What architectures may cut in the task's model."""
    return adm_blocks(card_of(task, roots=roots).unet_config())


def reference_of(task: Task, *, roots: Sequence[Path] = ()) -> ReferenceStatistics:
    """The reference statistics of the task.

    Raises:
        ChecksFailed: the file is not the one the task was made for.
    """
    statistics = load_reference(card_of(task, roots=roots).reference_path(task.reference))
    if statistics.sha256 != task.reference_sha256:
        raise ChecksFailed(
            f"reference={task.reference!r}: sha256 {statistics.sha256}, but the task was made for "
            f"{task.reference_sha256}: the file changed; make a new task",
            field="reference",
        )
    return statistics


def _check_reference(task: Task, statistics: ReferenceStatistics) -> None:
    """Hold a reference against the extractor and size of the images it is compared with."""
    pairs = (
        ("extractor", statistics.extractor, task.extractor),
        ("image_shape", statistics.image_shape, task.image_shape),
    )
    for part, found, wanted in pairs:
        if found != wanted:
            raise InvalidInput(
                f"reference={task.reference!r}: {part} is {found}, but {task.model} needs "
                f"{wanted}; build it anew with: python -m evaluators.references",
                field="reference",
            )
