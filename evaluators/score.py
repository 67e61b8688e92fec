"""What is asked of a scorer, what it answers, and the key under which an answer may be kept.

Nothing here imports torch: the engine and the tables deal in these values alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Protocol

from evaluators.banks import Bank, NoiseBank
from evaluators.price import MICRO_BATCH, Price, calls_for
from fewstep.canonical import content_hash
from fewstep.errors import InvalidInput
from fewstep.guidance import Guidance
from space.candidate import Candidate

# Part of every key: raise it when a change of this code changes scores, so none is taken for new.
# So does a change of what calibrations and repairs do that candidates do not say: the bank and rows
# of a pass (`measuring`, `calibrating`), the taps that are kept, the ridge (`networks/pruning`).
SCORING_VERSION = 1

DEVICES = ("cpu", "cuda")
DTYPES = ("float32",)
MAX_MICRO_BATCH = 65_536
_ROWS_STEP = 16  # elementwise kernels work on up to 16 floats at once


def torch_version() -> str:
    """The installed torch, read from its metadata: importing it takes seconds and memory."""
    return version("torch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Numerics:
    """Everything about the arithmetic that may change the last bits of an image.

    Attributes:
        device: Kind of device, `cpu` or `cuda`.
        dtype: Number format of the network.
        micro_batch: Images in every forward pass, padding included; a multiple of 16, so that no
            row falls into the scalar remainder of a vectorised kernel.
        threads: Threads inside one operation.
        torch_version: The torch that computes.
    """

    device: str = "cpu"
    dtype: str = "float32"
    micro_batch: int = MICRO_BATCH
    threads: int = 1
    torch_version: str = field(default_factory=torch_version)

    def __post_init__(self) -> None:
        _check_choice("device", self.device, DEVICES)
        _check_choice("dtype", self.dtype, DTYPES)
        if not 0 < self.micro_batch <= MAX_MICRO_BATCH or self.micro_batch % _ROWS_STEP:
            raise InvalidInput(
                f"micro_batch={self.micro_batch}: must be a multiple of {_ROWS_STEP} up to "
                f"{MAX_MICRO_BATCH}",
                field="micro_batch",
            )
        if self.threads < 1:
            raise InvalidInput(f"threads={self.threads}: must be at least 1", field="threads")


@dataclass(frozen=True, slots=True, kw_only=True)
class Guide:
    """The noisy-label classifier whose gradient guides.

    Attributes:
        name: What the model's card calls it.
        sha256: Of its weights file.
        gradient_cost: One gradient in network passes, as the card has it.
    """

    name: str
    sha256: str
    gradient_cost: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelGuide:
    """The classifier of noise levels by which chains choose theirs.

    Attributes:
        name: What the model's card calls it.
        sha256: Of its weights file.
    """

    name: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Everything a score depends on beside the ask. `evaluators.tasks` builds one from names.

    Attributes:
        model: Model reference, such as `zoo:digits`.
        weights_sha256: Of the network's weights file.
        definition_sha256: Of what the card says that changes images: architecture, process, ...
        image_shape: (C, H, W).
        num_classes: Classes of the labels; None for an unconditional model.
        reference: Name of the reference set among the card's.
        reference_sha256: Of the reference statistics file.
        extractor: Identity of the feature extractor, its weights included.
        guidance_scale: Scale of the guidance; 1 is none, except with a guide.
        clip_denoised: Whether denoised predictions are limited to [-1, 1].
        numerics: How it is computed.
        guide: Under classifier guidance, what guides; None otherwise.
        level_guide: Where candidates may be drawn from chains; None otherwise.
    """

    model: str
    weights_sha256: str
    definition_sha256: str
    image_shape: tuple[int, int, int]
    num_classes: int | None
    reference: str
    reference_sha256: str
    extractor: str
    guidance_scale: float
    clip_denoised: bool
    numerics: Numerics
    guide: Guide | None = None
    level_guide: LevelGuide | None = None

    @property
    def guidance(self) -> Guidance:
        """The kind of guidance."""
        if self.guide is not None:
            return "classifier"
        return "none" if self.guidance_scale == 1.0 else "classifier-free"

    @property
    def price(self) -> Price:
        """What candidates cost under this guidance."""
        gradient_cost = 0.0 if self.guide is None else self.guide.gradient_cost
        return Price(
            guidance=self.guidance,
            gradient_cost=gradient_cost,
            micro_batch=self.numerics.micro_batch,
        )

    def noise_bank(self, bank: Bank) -> NoiseBank:
        """The noise and labels of a bank for this model."""
        return NoiseBank(self.image_shape, self.num_classes, bank)

    def canonical(self) -> dict[str, object]:
        """Plain JSON values of all that every score depends on; names, which may change, are not.

        Without a guide nothing is said of it: keys stay those from before there were any. The level
        guide is part of the keys of candidates with chains alone.
        """
        values = asdict(self) | {"guidance_scale": float(self.guidance_scale)}
        del values["model"], values["reference"], values["level_guide"]
        if self.guide is None:
            del values["guide"]
        else:
            del values["guide"]["name"]
        return values


@dataclass(frozen=True, slots=True)
class Ask:
    """Score `candidate` on the first `num_samples` images of `bank`."""

    candidate: Candidate
    bank: Bank
    num_samples: int

    def __post_init__(self) -> None:
        if isinstance(self.num_samples, bool) or self.num_samples < 2:
            raise InvalidInput(
                f"num_samples={self.num_samples!r}: a covariance needs at least 2 images",
                field="num_samples",
            )


@dataclass(frozen=True, slots=True)
class Score:
    """The answer to an ask: a Frechet distance, or why there is none.

    Attributes:
        fid: Frechet distance to the reference; None where the candidate failed.
        failure: Why it failed, as a sentence; None where it did not.
        calls: Network calls the score stands for (images times the cost of one, gradients of a
            guide at their price), counted alike for failed candidates and for results that were
            at hand, so that budgets do not depend on what happened to be stored.
    """

    fid: float | None
    failure: str | None
    calls: int

    def __post_init__(self) -> None:
        assert (self.fid is None) != (self.failure is None), "a score is a distance or a failure"


OnScore = Callable[[int, Score], None]


class Scorer(Protocol):
    """Turns asks into scores, whatever executes them."""

    @property
    def task(self) -> Task:
        """What is scored."""
        ...

    def score(self, asks: Sequence[Ask], on_score: OnScore) -> list[Score]:
        """Score all asks.

        `on_score(position, score)` is called in ask order, each as soon as it and all before it are
        known, while later ones still run; what it raises ends the call.

        Raises:
            ScoringFailed: the machinery failed, as opposed to a candidate.
        """
        ...


def score_key(task: Task, ask: Ask) -> str:
    """The content hash of everything the score depends on: equal keys have equal scores."""
    values: dict[str, object] = {
        "scoring_version": SCORING_VERSION,
        "task": task.canonical(),
        "candidate": ask.candidate.canonical(),
        "noise": task.noise_bank(ask.bank).identity(),
        "num_samples": ask.num_samples,
    }
    if ask.candidate.chains and task.level_guide is not None:
        values["level_guide"] = task.level_guide.sha256
    return content_hash(values)


def calls_of(task: Task, ask: Ask) -> int:
    """Network calls of an ask, known before anything runs."""
    return calls_for(ask.num_samples, task.price.per_image(ask.candidate))


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InvalidInput(f"{name}={value!r}: unknown; allowed: {', '.join(allowed)}", field=name)
