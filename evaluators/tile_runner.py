"""Runs tiles on this process's torch: from start noise to images to features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from evaluators.banks import FloatArray, NoiseBank
from evaluators.calibrating import Calibrator
from evaluators.chain_runner import ChainRunner
from evaluators.chain_tiles import AnyTile, ChainTile
from evaluators.features import Extractor, load_extractor, to_uint8
from evaluators.guided_networks import conditional, guided_model, labels_of
from evaluators.packing import Tile
from evaluators.pruned_networks import PrunedNetworks
from evaluators.score import Task
from evaluators.surveying import survey_of
from evaluators.tasks import card_of
from evaluators.timing import device_name, seconds_of
from fewstep.denoisers.class_conditional import ConditionalNetwork
from fewstep.guidance.classifier import NoisyClassifier
from fewstep.mcmc.posterior import ClassifierPosterior
from fewstep.networks.card import ModelCard
from fewstep.networks.guided_model import GuidedModel
from fewstep.networks.guides import load_guide, noise_level_posterior
from fewstep.networks.models import load_network
from fewstep.networks.pruning.architecture import Architecture, Repair
from fewstep.networks.pruning.calibration_plan import CalibrationPlan
from fewstep.networks.pruning.configuration import NetworkConfiguration
from fewstep.running import run_stacked
from space.survey import Importance, Survey

Draw: TypeAlias = Callable[[NoiseBank, int, int], npt.NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class TileRunner:
    """A loaded network, guide and extractor. No tile depends on others: threads may share it.

    It is also the `evaluators.questions.Worker` that measures the network.
    """

    task: Task
    network: ConditionalNetwork
    extractor: Extractor
    null_label: int | None
    calibrator: Calibrator
    pruned: PrunedNetworks
    classifier: NoisyClassifier | None = None
    chains: ChainRunner | None = None

    def features(self, tile: AnyTile) -> FloatArray:
        """Features (rows, d) of the tile's images, float32.

        The features of an image that is not finite are NaN: that is how it is known further on.
        """
        with torch.inference_mode():
            images = self.images(tile)
            is_finite = images.isfinite().flatten(1).all(1)
            features = self.extractor.features(to_uint8(images.nan_to_num()))
            features = torch.where(is_finite[:, None], features.float(), torch.nan)
            kept: FloatArray = features[: tile.rows].cpu().numpy()
            return kept

    def images(self, tile: AnyTile) -> Tensor:
        """The images (micro_batch, C, H, W) in [-1, 1]; rows past the tile's own are padding."""
        if not isinstance(tile, ChainTile):
            return self._packed_images(tile)
        assert self.chains is not None, "the task of a tile of chains has a noise-level guide"
        return self.chains.images(tile, self._model(self.network))

    def survey(self, plan: CalibrationPlan, importance: Importance, repair: Repair) -> Survey:
        """What cuts do, band by band; see `evaluators.measuring.PruningScorer`."""
        return survey_of(self.calibrator, plan, importance, repair)

    def device_name(self) -> str:
        """The chip that this computes on."""
        return device_name(self.task.numerics.device)

    def seconds(self, configurations: Sequence[NetworkConfiguration]) -> list[float]:
        """Median seconds of one image of one network pass under each configuration."""
        return seconds_of(self.task, self.calibrator.network, configurations)

    def repaired(self, architecture: Architecture) -> bytes:
        """The file of what the repair changes: exactly what this runs tiles with."""
        return self.pruned.repair_of(architecture)

    def _model(self, network: ConditionalNetwork) -> GuidedModel:
        return guided_model(
            self.task, network, null_label=self.null_label, classifier=self.classifier
        )

    def _networks(self, architecture: Architecture | None) -> list[ConditionalNetwork]:
        """The network of each of an architecture's configurations."""
        if architecture is None:
            return [self.network]
        return [conditional(network, self.task) for network in self.pruned.of(architecture)]

    def _packed_images(self, tile: Tile) -> Tensor:
        programs = [part.segment.program for part in tile.parts]
        rows = [part.segment.rows for part in tile.parts]
        rows[-1] += self.task.numerics.micro_batch - tile.rows  # padding runs the last program
        noise = [self._draw(tile, _term(term)) for term in range(programs[0].noise_terms)]
        is_split = programs[0].is_split
        labels = self._draw(tile, labels_of)
        denoisers = [
            self._model(network).denoiser(labels, is_split=is_split)
            for network in self._networks(tile.parts[0].segment.architecture)
        ]
        start = self._draw(tile, NoiseBank.noise)
        return run_stacked(programs, rows, denoisers, start, noise=noise)

    def _draw(self, tile: Tile, draw: Draw) -> Tensor:
        """What `draw` gives for each part of the tile, one under the other, padded with zeros."""
        segments = [part.segment for part in tile.parts]
        drawn = [draw(self.task.noise_bank(s.bank), s.start, s.stop) for s in segments]
        padding = self.task.numerics.micro_batch - tile.rows
        drawn.append(np.zeros((padding, *drawn[0].shape[1:]), dtype=drawn[0].dtype))
        return torch.from_numpy(np.concatenate(drawn)).to(self.task.numerics.device)


def load_runner(task: Task, *, roots: Sequence[Path] = ()) -> TileRunner:
    """Load what a task names.

    Raises:
        ChecksFailed: the model or extractor found under those names is not the task's.
        FewstepError: as `fewstep.networks.models` raises for models that cannot be loaded.
    """
    card = card_of(task, roots=roots)
    network = load_network(card, device=task.numerics.device)
    classifier = None
    if task.guide is not None:
        classifier = load_guide(card, task.guide.name, device=task.numerics.device)

    def model(any_network: nn.Module) -> GuidedModel:
        given_labels = conditional(any_network, task)
        return guided_model(task, given_labels, null_label=card.null_label, classifier=classifier)

    calibrator = Calibrator(task, network, card.make_process(), model)
    return TileRunner(
        task=task,
        network=conditional(network, task),
        extractor=load_extractor(card.extractor, device=task.numerics.device),
        null_label=card.null_label,
        calibrator=calibrator,
        pruned=PrunedNetworks(calibrator),
        classifier=classifier,
        chains=None if task.level_guide is None else _chain_runner(task, card),
    )


def _chain_runner(task: Task, card: ModelCard) -> ChainRunner:
    network, rhos = noise_level_posterior(card, device=task.numerics.device)
    posterior = ClassifierPosterior(network, tuple(rhos.tolist()))
    return ChainRunner(task, card.make_process(), posterior)


def _term(number: int) -> Draw:
    """Draws the noise term of that number."""
    return lambda bank, start, stop: bank.noise(start, stop, term=number)
