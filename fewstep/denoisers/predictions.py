"""Denoisers from networks that predict noise, velocity, score, or the clean data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

from fewstep.denoisers.base import Denoiser, StackedLevel
from fewstep.errors import InvalidInput
from fewstep.process.base import Process
from fewstep.solvers import Kind

# f(x, t): states (B, ...) and process times (B,), both in the type of the states.
Network: TypeAlias = Callable[[Tensor, Tensor], Tensor]


def from_noise(
    f: Network,
    process: Process,  # noqa: ARG001  one signature for all, levels carry what is needed
    *,
    clip: float | None = None,
) -> Denoiser:
    """A network that predicts eps: denoised = (x - sigma eps) / alpha.

    Args:
        f: called with states of shape (B, ...) and process times of shape (B,).
        process: the process the states live in.
        clip: limit denoised predictions to [-clip, clip], as ADM does with 1.
    """
    return _Adapter(f, _denoised_from_noise, clip)


def from_denoised(
    f: Network,
    process: Process,  # noqa: ARG001  one signature for all
    *,
    clip: float | None = None,
) -> Denoiser:
    """A network that predicts the clean data itself."""
    return _Adapter(f, _denoised_as_is, clip)


def from_velocity(f: Network, process: Process, *, clip: float | None = None) -> Denoiser:
    """A network that predicts a velocity, in the convention of the process.

    Variance preserving (vp-discrete, vp-linear, vp-cosine): v = alpha eps - sigma x0, so
    denoised = alpha x - sigma v. Ref: Salimans, Ho 2022, appendix D.
    Flow matching: v = eps - x0, so denoised = x - sigma v. Ref: Lipman et al. 2023.

    Raises:
        InvalidInput: the process has no velocity convention.
    """
    convert = _VELOCITIES.get(process.family)
    if convert is None:
        raise InvalidInput(
            f"process={process.family!r}: no velocity convention; allowed: "
            f"{', '.join(sorted(_VELOCITIES))}",
            field="process",
        )
    return _Adapter(f, convert, clip)


def from_score(
    f: Network,
    process: Process,  # noqa: ARG001  one signature for all
    *,
    clip: float | None = None,
) -> Denoiser:
    """A network that predicts the score, grad_x log p(x): denoised = (x + sigma^2 score) / alpha.

    Ref: Tweedie's formula; Song et al. 2021 (score-SDE), whose VE and sub-VP networks give scores.
    """
    return _Adapter(f, _denoised_from_score, clip)


@dataclass(frozen=True, slots=True)
class _Adapter:
    """Turns a network's output into the denoised prediction."""

    network: Network
    convert: Callable[[Tensor, Tensor, StackedLevel], Tensor]
    clip: float | None

    def __call__(self, x: Tensor, at: StackedLevel, kind: Kind = "denoised") -> Tensor:
        require_denoised(kind)
        denoised = self.convert(x, self.network(x, at.t.to(x.dtype)), at)
        return denoised if self.clip is None else denoised.clamp(-self.clip, self.clip)


def require_denoised(kind: Kind) -> None:
    """Refuse kinds that a denoiser without split guidance cannot answer."""
    if kind not in ("denoised", "base"):
        raise InvalidInput(
            f"kind={kind!r}: this denoiser has no conditional function; allowed: denoised, base",
            field="kind",
        )


def _denoised_from_noise(x: Tensor, eps: Tensor, at: StackedLevel) -> Tensor:
    alpha, sigma = at.coefficients(x)
    return (x - sigma * eps) / alpha


def _denoised_as_is(_x: Tensor, denoised: Tensor, _at: StackedLevel) -> Tensor:
    return denoised


def _denoised_from_score(x: Tensor, score: Tensor, at: StackedLevel) -> Tensor:
    alpha, sigma = at.coefficients(x)
    return (x + sigma**2 * score) / alpha


def _denoised_from_velocity(x: Tensor, v: Tensor, at: StackedLevel) -> Tensor:
    alpha, sigma = at.coefficients(x)
    return alpha * x - sigma * v


def _denoised_from_flow_velocity(x: Tensor, v: Tensor, at: StackedLevel) -> Tensor:
    # Needs no alpha, so that its floor at the start of the path does no harm.
    _, sigma = at.coefficients(x)
    return x - sigma * v


_VELOCITIES = {
    "vp-discrete": _denoised_from_velocity,
    "vp-linear": _denoised_from_velocity,
    "vp-cosine": _denoised_from_velocity,
    "flow-matching": _denoised_from_flow_velocity,
}
