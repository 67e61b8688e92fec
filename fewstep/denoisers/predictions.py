"""Denoisers from networks that predict noise, velocity, or the clean data."""

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
    process: Process,  # noqa: ARG001  one signature for all three, levels carry what is needed
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
    process: Process,  # noqa: ARG001  one signature for all three
    *,
    clip: float | None = None,
) -> Denoiser:
    """A network that predicts the clean data itself."""
    return _Adapter(f, _denoised_as_is, clip)


def from_velocity(f: Network, process: Process, *, clip: float | None = None) -> Denoiser:
    """A network that predicts a velocity.

    For variance-preserving processes v = alpha eps - sigma x0 (Salimans, Ho 2022), so
    denoised = alpha x - sigma v.

    Raises:
        InvalidInput: the process has no velocity convention of this kind.
    """
    if not process.family.startswith("vp"):
        raise InvalidInput(
            f"process={process.family!r}: no velocity convention; allowed: vp-discrete",
            field="process",
        )
    return _Adapter(f, _denoised_from_velocity, clip)


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


def _denoised_from_velocity(x: Tensor, v: Tensor, at: StackedLevel) -> Tensor:
    alpha, sigma = at.coefficients(x)
    return alpha * x - sigma * v
