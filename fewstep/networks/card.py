"""The model card: everything about a model that can be said without loading it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal, NotRequired

from pydantic import ConfigDict, JsonValue, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from fewstep.errors import InvalidInput
from fewstep.guidance import Guidance
from fewstep.networks.adm.config import UNetConfig
from fewstep.process import VPDiscrete, process_from_description
from fewstep.schedule import GuideSection, ModelSection

CARD_FILE = "card.json"
ARCHITECTURE_KIND = "adm-unet"
MAX_CARD_BYTES = 1_000_000


class Teacher(TypedDict):
    """The full-step sampler a model is held to before a search starts."""

    solver: str
    grid: str  # a named spacing
    nfe: int
    num_samples: int
    max_fid: float  # above it, weights, flags or reference are wrong
    # Limits against other references than the default one: fewer images are farther away.
    max_fid_to: NotRequired[dict[str, float]]


GuideKind = Literal["noisy-label", "noise-level"]


@with_config(ConfigDict(extra="forbid", strict=True))
class Guide(TypedDict):
    """A small network beside the weights; `fewstep.networks.guides` loads it."""

    kind: GuideKind
    file: str  # safetensors beside the card
    sha256: str
    # Of noisy-label: (channels, stride) of its convolutions; absent where they are the default.
    layers: NotRequired[list[tuple[int, int]]]
    # Of noisy-label: seconds of one gradient over seconds of one pass of the card's network, at 256
    # states in float32 on one thread. Absent until benchmarks.gradient_cost has measured it.
    gradient_cost: NotRequired[float]
    measured: dict[str, JsonValue]  # written when it was trained


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """A model as its `card.json` describes it.

    `architecture` holds `kind` ("adm-unet") and the fields of `UNetConfig`. Files are plain names
    in `folder`.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    name: str  # how requests refer to it, such as zoo:digits
    architecture: dict[str, JsonValue]
    process: dict[str, JsonValue]  # as `fewstep.process.process_from_description` reads it
    prediction: str  # what the network predicts; only "noise" so far
    num_classes: int | None  # classes a caller may ask for; None: no labels
    null_label: int | None  # the label that means none, for classifier-free guidance
    image_shape: tuple[int, int, int]  # channels, height, width
    clip_denoised: bool  # whether predictions of the clean image are clipped to [-1, 1]
    weights_file: str
    weights_sha256: str
    extractor: str  # features that distances are measured on
    default_reference: str
    references: dict[str, str]  # name of a reference set -> file of its statistics
    teacher: Teacher
    measured: dict[str, JsonValue]  # written by benchmarks.model_card, with sample counts
    licence: str
    guides: dict[str, Guide] = field(default_factory=dict)  # by name
    folder: Path = Path()

    def __post_init__(self) -> None:
        _check_choices(self)
        _check_labels(self)
        _check_guides(self)
        guide_files = [guide["file"] for guide in self.guides.values()]
        for file in (self.weights_file, *self.references.values(), *guide_files):
            if Path(file).name != file or not file.endswith(".safetensors"):
                raise _bad("a file", file, "a plain *.safetensors name beside the card")

    @property
    def weights_path(self) -> Path:
        """Where the weights lie."""
        return self.folder / self.weights_file

    def reference_path(self, name: str | None = None) -> Path:
        """Where the statistics of a reference set lie; None is the default set.

        Raises:
            InvalidInput: the card lists no such set.
        """
        name = self.default_reference if name is None else name
        if name not in self.references:
            allowed = ", ".join(sorted(self.references))
            raise InvalidInput(
                f"reference={name!r}: no such reference of {self.name}; allowed: {allowed}",
                field="reference",
            )
        return self.folder / self.references[name]

    def guide_path(self, name: str) -> Path:
        """Where the weights of a guide lie.

        Raises:
            InvalidInput: the card lists no such guide.
        """
        if name not in self.guides:
            allowed = ", ".join(sorted(self.guides)) or "none"
            raise InvalidInput(
                f"guide={name!r}: no such guide of {self.name}; allowed: {allowed}", field="guide"
            )
        return self.folder / self.guides[name]["file"]

    def max_teacher_fid(self, reference: str) -> float:
        """The largest plausible FID of the teacher against a reference set."""
        return self.teacher.get("max_fid_to", {}).get(reference, self.teacher["max_fid"])

    def make_process(self) -> VPDiscrete:
        """The noise process the network was trained under.

        Raises:
            InvalidInput: no process, or none with a table of training times.
        """
        process = process_from_description(self.process)
        if not isinstance(process, VPDiscrete):
            raise _bad("process.family", process.family, f"{VPDiscrete.family!r}")
        return process

    def document_section(
        self,
        *,
        guidance_scale: float = 1.0,
        guide: GuideSection | None = None,
        clip_denoised: bool | None = None,
    ) -> ModelSection:
        """The model as schedule documents name it, as it is run: guidance and clipping included.

        With a `guide` the scale is that of classifier guidance, else of classifier-free guidance.
        """
        without: Guidance = "none" if guidance_scale == 1.0 else "classifier-free"
        return ModelSection(
            name=self.name,
            prediction="noise",
            checkpoint_sha256=self.weights_sha256,
            image_shape=self.image_shape,
            process=self.make_process().describe(),
            num_classes=self.num_classes,
            guidance=without if guide is None else "classifier",
            guidance_scale=guidance_scale,
            guide=guide,
            clip_denoised=self.clip_denoised if clip_denoised is None else clip_denoised,
        )

    def unet_config(self) -> UNetConfig:
        """The architecture's options."""
        fields = {key: value for key, value in self.architecture.items() if key != "kind"}
        return UNetConfig.from_dict(fields)


def read_card(folder: Path) -> ModelCard:
    """Read and check the card of a model folder; other files of it are not touched.

    Raises:
        InvalidInput: no card there, or one that does not say what a card must say.
    """
    path = folder / CARD_FILE
    if not path.is_file():
        raise InvalidInput(f"model folder {folder.name!r}: has no {CARD_FILE}", field="model")
    if path.stat().st_size > MAX_CARD_BYTES:
        raise _bad("size", path.stat().st_size, f"at most {MAX_CARD_BYTES} bytes")
    try:
        card = _ADAPTER.validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "document"
        raise InvalidInput(
            f"card of {folder.name!r}: {where}: {first['msg']}", field="model"
        ) from error
    if card.folder != Path():
        raise _bad("folder", str(card.folder), "absent: it is where the card lies")
    return replace(card, folder=folder.resolve())


def _check_choices(card: ModelCard) -> None:
    kind = card.architecture.get("kind")
    if kind != ARCHITECTURE_KIND:
        raise _bad("architecture.kind", kind, f"{ARCHITECTURE_KIND!r}")
    if card.prediction != "noise":
        raise _bad("prediction", card.prediction, "'noise'")
    if card.default_reference not in card.references:
        allowed = ", ".join(sorted(card.references))
        raise _bad("default_reference", card.default_reference, f"one of: {allowed}")
    if set(card.teacher.get("max_fid_to", {})) - set(card.references):
        allowed = ", ".join(sorted(card.references))
        raise _bad("teacher.max_fid_to", card.teacher["max_fid_to"], f"names among: {allowed}")
    config, (channels, *sides) = card.unet_config(), card.image_shape
    if channels != config.in_channels or any(side % config.downsample_factor for side in sides):
        allowed = f"{config.in_channels} channels, sides multiples of {config.downsample_factor}"
        raise _bad("image_shape", card.image_shape, allowed)
    if config.out_channels not in (channels, 2 * channels):
        allowed = f"{channels}, or {2 * channels} where the variance is learned"
        raise _bad("architecture.out_channels", config.out_channels, allowed)
    card.make_process()


def _check_labels(card: ModelCard) -> None:
    rows = card.unet_config().num_classes
    asked = max(card.num_classes or 0, -1 if card.null_label is None else card.null_label + 1)
    if (card.num_classes is None) != (rows is None) or asked > (rows or 0):
        allowed = f"within architecture.num_classes={rows}, the null label's row included"
        raise _bad("num_classes, null_label", (card.num_classes, card.null_label), allowed)


def _check_guides(card: ModelCard) -> None:
    for name, guide in card.guides.items():
        is_label = guide["kind"] == "noisy-label"
        if is_label and card.num_classes is None:
            raise _bad(f"guides.{name}.kind", guide["kind"], "noise-level: the model has no labels")
        cost = guide.get("gradient_cost")
        if cost is not None and not (is_label and 0.0 < cost < math.inf):
            allowed = "a positive number, of noisy-label guides alone"
            raise _bad(f"guides.{name}.gradient_cost", cost, allowed)
        layers = guide.get("layers")
        if layers is not None and not (is_label and _are_layers(layers)):
            allowed = "1 to 32 pairs (channels to 4096, stride 1 or 2), of noisy-label alone"
            raise _bad(f"guides.{name}.layers", layers, allowed)


def _are_layers(layers: list[tuple[int, int]]) -> bool:
    is_each_legal = all(1 <= width <= 4096 and stride in (1, 2) for width, stride in layers)
    return 1 <= len(layers) <= 32 and is_each_legal


def _bad(what: str, value: object, allowed: str) -> InvalidInput:
    return InvalidInput(f"card: {what} is {value!r}; allowed: {allowed}", field="model")


_ADAPTER = TypeAdapter(ModelCard)
