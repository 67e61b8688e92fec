"""The networks of a pruned schedule, cut from a model and repaired, and denoisers of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from fewstep.denoisers import Denoiser
from fewstep.errors import InvalidInput
from fewstep.networks.adm.unet import UNet
from fewstep.networks.card import ModelCard
from fewstep.networks.denoising import CLIP, check_model, given_labels, guided_model
from fewstep.networks.guided_model import GuidedModel
from fewstep.networks.models import load_network, resolve
from fewstep.networks.pruning.architecture import Architecture
from fewstep.networks.pruning.assembling import Repairs, networks_of
from fewstep.networks.pruning.documents import (
    check_architecture,
    check_checkpoint,
    check_weights,
)
from fewstep.networks.pruning.repair import load_repair
from fewstep.schedule import ModelSection, Schedule
from fewstep.schedule_architecture import ArchitectureSection
from fewstep.solvers import SOLVERS


@dataclass(frozen=True, slots=True)
class PrunedModel:
    """What a pruned schedule runs.

    Where bodies are reused, networks keep those of the batch that runs: one batch at a time.

    Attributes:
        schedule: The document.
        networks: One for each configuration, in their order.
        models: The same with the document's guidance and clipping.
    """

    schedule: Schedule
    networks: tuple[UNet, ...]
    models: tuple[GuidedModel, ...]

    def denoisers(self, labels: Tensor) -> list[Denoiser]:
        """What `Schedule.sample` takes, for labels of shape (B,): one class for each row.

        Labels are ignored by models without classes.
        """
        is_split = SOLVERS.get(self.schedule.solver.name).is_split
        return [model.denoiser(labels, is_split=is_split) for model in self.models]


def load_pruned(
    model: str | ModelCard | UNet,
    schedule: Schedule,
    *,
    weights: Path | str | None = None,
    roots: Sequence[Path] = (),
    device: str = "cpu",
) -> PrunedModel:
    """Cut and repair the networks of a schedule, and hold all that the document says against them.

        >>> pruned = fewstep.load_pruned("zoo:digits", schedule, weights="repair.safetensors")
        >>> images = schedule.sample(pruned.denoisers(labels), noise)

    Args:
        model: a reference such as "zoo:digits", or its card; or a loaded network whose weights the
            caller vouches for: no checksum is taken of it, and it stays where it is.
        schedule: the document, with an architecture.
        weights: the file of repaired tensors; none where the document's repair is "none".
        roots: folders of `file:` models.
        device: where a reference's network is loaded.

    Raises:
        InvalidInput: the document has no architecture, it does not fit the network, a file of
            tensors is missing, superfluous, or not of these configurations; names what differs.
        ChecksFailed: the model's weights, or the file, are others than the document says.
        UnknownName: no such model.
    """
    card = resolve(model, roots=roots) if isinstance(model, str) else model
    weights = None if weights is None else Path(weights)
    if isinstance(card, UNet):
        _check_network(card, schedule.model)
        section, network = check_architecture(schedule, card.config), card
    else:
        check_checkpoint(schedule, name=card.name, sha256=card.weights_sha256)
        check_model(schedule, card)
        section = check_architecture(schedule, card.unet_config())
        check_weights(section, weights)  # before time is taken
        network = load_network(card, device=device)
    networks = pruned_networks(network, section, weights)
    first = _guided(card, networks[0], schedule.model, device)
    models = [
        replace(first, network=given_labels(each, network.config.num_classes)) for each in networks
    ]
    return PrunedModel(schedule, tuple(networks), tuple(models))


def pruned_networks(
    network: UNet, section: ArchitectureSection, weights: Path | None
) -> list[UNet]:
    """One network for each configuration of a document that was held against this network.

    Raises:
        InvalidInput: the file of tensors is missing, superfluous, or not of these configurations.
        ChecksFailed: another file than the document says.
    """
    check_weights(section, weights)
    architecture = section.to_architecture()
    repairs: Repairs = () if weights is None else load_repair(weights)
    networks = networks_of(network, architecture, repairs)
    _check_complete(architecture, repairs)
    return networks


def _check_complete(architecture: Architecture, repairs: Repairs) -> None:
    """A configuration of which something was cut has tensors: none would leave it unrepaired."""
    for place, tensors in enumerate(repairs):
        configuration = architecture.configurations[place]
        is_cut = any(choice.mode != "reused" for _, choice in configuration.choices)
        if is_cut and not tensors:
            raise InvalidInput(
                f"repair: no tensors for configuration {place}; allowed: those of what was cut",
                field="repair",
            )


def _check_network(network: UNet, model: ModelSection) -> None:
    """Refuse a loaded network that cannot be the document's model.

    Raises:
        InvalidInput: names what differs, both values.
    """
    config, channels, classes = network.config, network.config.in_channels, model.num_classes
    rows = config.num_classes
    are_enough = (classes is None) == (rows is None) and (rows or 0) >= (classes or 0)
    pairs = {
        "model.prediction": (model.prediction, "noise"),
        "model.image_shape[0]": (model.image_shape[0], channels),
        "model.num_classes": (classes, classes if are_enough else rows),
        "network.out_channels": (channels, config.out_channels),  # a learned variance is cut off
    }
    for field, (stored, actual) in pairs.items():
        if stored != actual:
            raise InvalidInput(f"{field}={stored!r}: the network given has {actual!r}", field=field)


def _guided(
    source: ModelCard | UNet, network: UNet, model: ModelSection, device: str
) -> GuidedModel:
    """A network under the document's guidance.

    Raises:
        InvalidInput: a loaded network is to be guided by a classifier, which only a card names.
    """
    if isinstance(source, ModelCard):
        return guided_model(
            source,
            network=network,
            guidance=model.guidance,
            scale=model.guidance_scale,
            is_clipped=model.clip_denoised,
            device=device,
        )
    if model.guidance == "classifier":
        raise InvalidInput(
            "model.guidance='classifier': its guide lies beside the model's card; allowed: the "
            "model's reference instead of a loaded network",
            field="model.guidance",
        )
    rows, classes = source.config.num_classes, model.num_classes
    return GuidedModel(
        network=network,
        guidance=model.guidance,
        scale=model.guidance_scale,
        # Where there is one row more than classes, it is that of no label.
        null_label=classes if classes is not None and rows == classes + 1 else None,
        clip=CLIP if model.clip_denoised else None,
    )
