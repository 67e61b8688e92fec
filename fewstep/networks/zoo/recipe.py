"""How a bundled model is built, trained and described, as plain values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fewstep.errors import InvalidInput
from fewstep.networks.adm.config import UNetConfig
from fewstep.networks.card import ARCHITECTURE_KIND, Teacher
from fewstep.networks.zoo.data import Images, Labels, Split
from fewstep.process import VPDiscrete

CLASSIFIER_FILE = "classifier.safetensors"
FOLDER = Path(__file__).parent  # holds one folder per model whose weights are bundled


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """A further cycle of the learning rate: warm-up, then half a cosine down to zero.

    Ref: Loshchilov & Hutter 2017 (warm restarts); Hang et al. 2023, Eq. 8 (`min_snr_gamma`).
    """

    num_steps: int
    peak_rate: float
    min_snr_gamma: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """All that a training run depends on beside the network, the process and the data.

    Attributes:
        num_steps: Of the first cycle of the learning rate, which weights all times alike.
        restarts: The cycles after it.
    """

    seed: int = 0
    num_steps: int
    batch_size: int
    peak_rate: float = 1e-3
    warmup_steps: int
    label_dropout: float = 0.1  # share of labels replaced by the null label
    ema_decay: float
    max_gradient_norm: float = 1.0
    flip: bool = False  # mirror half of the images, left to right
    autocast: bool = True  # bfloat16 in the network
    restarts: tuple[Restart, ...] = ()

    @property
    def total_steps(self) -> int:
        """Of all cycles together."""
        return self.num_steps + sum(cycle.num_steps for cycle in self.restarts)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierLayers:
    """The sizes of a feature classifier.

    Attributes:
        kind: `digit` has the layers of `digit_trunk`, `colour` those of `colour_trunk`.
        widths: Channels per level of a colour classifier, finest first.
        num_features: Width of the penultimate layer, on which distances are measured.
    """

    kind: Literal["digit", "colour"]
    widths: tuple[int, ...] = ()
    num_features: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A bundled model: its data, its networks, their training and the facts of its card.

    Attributes:
        model: Its name without `zoo:`, also that of its folder.
        load: Images (N, *image_shape) and labels (N,) of a split; takes the path of the archive,
            None where images ship with an installed package.
        unet: The network.
        process: Its noise process.
        image_shape: Channels, height, width.
        num_classes: Classes; the label after the last is the null label.
        settings: How the network is trained.
        classifier: The feature classifier.
        classifier_steps: How long it is trained.
        noisy_label_layers: (channels, stride) of the convolutions of the noisy-label guide.
        noisy_label_steps: How long that is trained.
        noise_level_steps: How long the noise-level guide is trained.
        references: The splits that reference statistics are kept of, the default one first.
        teacher: The gate before a search.
        licence: Of weights and images, in words.
        threads: Of the processor in training; None is as many as torch takes.
    """

    model: str
    load: Callable[[Path | None, Split], tuple[Images, Labels]]
    unet: UNetConfig
    process: VPDiscrete
    image_shape: tuple[int, int, int]
    num_classes: int
    settings: TrainingSettings
    classifier: ClassifierLayers
    classifier_steps: int
    noisy_label_layers: tuple[tuple[int, int], ...]
    noisy_label_steps: int
    noise_level_steps: int
    references: tuple[Split, ...]
    teacher: Teacher
    licence: str
    threads: int | None = None

    @property
    def name(self) -> str:
        """How requests refer to the model."""
        return f"zoo:{self.model}"

    @property
    def null_label(self) -> int:
        """The extra row of the label table."""
        return self.num_classes

    @property
    def folder(self) -> Path:
        """Where its card and weights are bundled."""
        return FOLDER / self.model

    @property
    def extractor(self) -> str:
        """What its features are called."""
        return f"zoo-{self.model}-classifier-{self.classifier.num_features}"

    def reference(self, split: Split) -> str:
        """What the statistics of a split are called."""
        return f"{self.model}-{split}"

    def card(self, weights_sha256: str) -> dict[str, object]:
        """The content of `card.json` for freshly trained weights, before anything was measured."""
        return {
            "name": self.name,
            "architecture": {"kind": ARCHITECTURE_KIND, **self.unet.to_dict()},
            "process": self.process.describe(),
            "prediction": "noise",
            "num_classes": self.num_classes,
            "null_label": self.null_label,
            "image_shape": list(self.image_shape),
            "clip_denoised": True,
            "weights_file": "unet.safetensors",
            "weights_sha256": weights_sha256,
            "extractor": self.extractor,
            "default_reference": self.reference(self.references[0]),
            "references": {
                self.reference(split): f"reference-{split}.safetensors" for split in self.references
            },
            "teacher": dict(self.teacher),
            "measured": {},
            "licence": self.licence,
        }


def require_archive(data: Path | None, model: str, allowed: str) -> Path:
    """The archive a user named.

    Raises:
        InvalidInput: none was.
    """
    if data is None:
        raise InvalidInput(
            f"data: the images of zoo:{model} are not bundled; allowed: the path of {allowed}",
            field="data",
        )
    return data
