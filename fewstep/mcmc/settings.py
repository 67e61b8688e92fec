"""What a run of Denoising Langevin Gibbs (DLG) is told, as plain values that documents can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Literal, TypeAlias, get_args

from fewstep.errors import InvalidInput

StepRule: TypeAlias = Literal["fixed", "scaled"]
Gibbs: TypeAlias = Literal["sample", "argmax"]
Emission: TypeAlias = Literal["last", "min-incl-start", "min-excl-start"]
Adjust: TypeAlias = Literal["none", "mala", "noise-corrected"]
Space: TypeAlias = Literal["ve", "vp-native", "vp-rescaled"]

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "step_rule": get_args(StepRule),
    "gibbs": get_args(Gibbs),
    "emission": get_args(Emission),
    "adjust": get_args(Adjust),
    "space": get_args(Space),
}
_LEAST_COUNT = {"num_skip": 1, "burn_in": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class DLGSettings:
    """How chains move, what they emit, and where they start.

    Attributes:
        eta: Step of the Langevin move, which is x + eta / 2 * score + sqrt(eta) * noise, in squared
            units of the data. With the scaled rule it is a factor: eta times the squared noise
            level. Without correction a fixed step keeps chains above the level sqrt(eta).
        num_skip: Langevin-Gibbs steps from one emitted state to the next.
        space: Coordinates of the chains. `ve`: a process without scaling. `vp-rescaled`: any other,
            in x / alpha. `vp-native`: x itself.
        step_rule: Whether the step is `fixed` (as published) or `scaled` with the noise level.
        gibbs: Whether the next level is drawn (`sample`, a Gibbs step) or the most probable class
            (`argmax`, as published; it collapses in low dimension).
        emission: Which state of a window is denoised: the `last` (unbiased), or the one of least
            noise with the window's start among the candidates (`min-incl-start`, as published; can
            emit a state twice) or not (`min-excl-start`).
        adjust: `none` (as published), `mala` (Metropolis; needs a posterior with densities and
            twice the calls) or `noise-corrected`: less noise in the move, so that noise levels do
            not climb; limits the step to 3.9 times the squared level.
        burn_in: Steps before the first window.
        start_rho: Noise-to-signal ratio of what is added to the initial clean samples.
        tweedie_rho: Noise-to-signal ratio of one more denoising of every sample; 0 is none.

    Raises:
        InvalidInput: a value is not allowed; names it as `settings.NAME`.
    """

    eta: float
    num_skip: int
    space: Space
    step_rule: StepRule = "fixed"
    gibbs: Gibbs = "sample"
    emission: Emission = "last"
    adjust: Adjust = "none"
    burn_in: int = 0
    start_rho: float = 0.5
    tweedie_rho: float = 0.0

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            _require(name, value, ", ".join(choices), value in choices)
        for name, least in _LEAST_COUNT.items():
            value = getattr(self, name)
            is_allowed = type(value) is int and value >= least
            _require(name, value, f"whole numbers from {least}", is_allowed)
        for name in ("eta", "start_rho", "tweedie_rho"):
            value = getattr(self, name)
            is_zero_allowed = name == "tweedie_rho"
            allowed = f"finite numbers {'from' if is_zero_allowed else 'above'} 0"
            _require(name, value, allowed, _is_positive(value) or (is_zero_allowed and value == 0))

    @property
    def is_native(self) -> bool:
        """Whether chains live in process scale."""
        return self.space == "vp-native"

    @property
    def calls_per_step(self) -> int:
        """Denoiser calls of one step: Metropolis looks at where it would go, too."""
        return 2 if self.adjust == "mala" else 1

    def to_dict(self) -> dict[str, object]:
        """Every setting as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, object]) -> DLGSettings:
        """Read what `to_dict` wrote; settings left out take their defaults.

        Raises:
            InvalidInput: an unknown or missing name, or a value that is not allowed.
        """
        names = [field.name for field in fields(cls)]
        for name in document:
            _require(name, document[name], f"one of {', '.join(names)}", name in names)
        for name in ("eta", "num_skip", "space"):
            _require(name, None, "a value, it has no default", name in document)
        return cls(**document)  # type: ignore[arg-type]  # checked by __post_init__


def _is_positive(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value > 0.0  # type: ignore[arg-type,operator]


def _require(name: str, value: object, allowed: str, is_allowed: bool) -> None:
    if not is_allowed:
        raise InvalidInput(
            f"settings.{name}={value!r}: not allowed; allowed: {allowed}", field=f"settings.{name}"
        )
