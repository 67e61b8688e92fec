"""The variance-preserving process of discrete-time models (DDPM, ADM, Stable Diffusion)."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from fewstep.errors import InvalidInput
from fewstep.level import Level

# Keeps zero-terminal-SNR tables finite: rho never exceeds 4096, as in diffusers.
ALPHA_FLOOR = 2.0**-12
# A time this close to a node (in units of the node distance) is that node.
NODE_TOLERANCE = 1e-6


class VPDiscrete:
    """A table of cumulative alphas; index k is process time t = (k + 1) / N, t = 0 is clean.

    Between nodes ln alpha is piecewise linear in t (`interpolation: log-alpha-linear`), below the
    first node too. The network is fed N * t - 1, which is k at the nodes.

    Args:
        alphas_cumprod: shape (N,), cumulative products of 1 - beta, strictly decreasing in (0, 1).
        description: how the table is named in documents; by default the table itself.

    Raises:
        InvalidInput: the table is empty, not finite, not strictly decreasing or outside (0, 1).
    """

    family = "vp-discrete"

    def __init__(
        self, alphas_cumprod: Sequence[float], *, description: dict[str, object] | None = None
    ) -> None:
        table = np.asarray(alphas_cumprod, dtype=np.float64)
        _check_table(table)
        log_alpha = 0.5 * np.log(np.maximum(table, ALPHA_FLOOR**2))
        self.num_train_timesteps = len(table)
        self._log_alpha = [0.0, *log_alpha.tolist()]  # position j is time j / N
        self._description = description or {
            "family": self.family,
            "beta_schedule": "table",
            "alphas_cumprod": table.tolist(),
        }

    @classmethod
    def linear(
        cls,
        num_train_timesteps: int = 1000,
        beta_start: float = 1e-4,
        beta_end: float = 0.02,
    ) -> VPDiscrete:
        """Betas linear in the index. Ref: Ho et al. 2020, section 4."""
        betas = np.linspace(beta_start, beta_end, num_train_timesteps, dtype=np.float64)
        return cls._from_betas(betas, "linear", beta_start, beta_end)

    @classmethod
    def scaled_linear(
        cls,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.00085,
        beta_end: float = 0.012,
    ) -> VPDiscrete:
        """Betas whose square roots are linear in the index. Ref: latent diffusion models."""
        roots = np.linspace(
            math.sqrt(beta_start), math.sqrt(beta_end), num_train_timesteps, dtype=np.float64
        )
        return cls._from_betas(roots**2, "scaled_linear", beta_start, beta_end)

    @classmethod
    def cosine(cls, num_train_timesteps: int = 1000) -> VPDiscrete:
        """Squared-cosine cumulative alphas, betas capped at 0.999. Ref: Nichol, Dhariwal 2021."""
        u = np.arange(num_train_timesteps + 1, dtype=np.float64) / num_train_timesteps
        f = np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2
        betas = np.minimum(0.999, 1.0 - f[1:] / f[:-1])
        return cls._from_betas(betas, "cosine")

    @classmethod
    def _from_betas(
        cls,
        betas: np.ndarray,
        name: str,
        beta_start: float | None = None,
        beta_end: float | None = None,
    ) -> VPDiscrete:
        description: dict[str, object] = {
            "family": cls.family,
            "beta_schedule": name,
            "num_train_timesteps": len(betas),
            "interpolation": "log-alpha-linear",
        }
        if beta_start is not None:
            description |= {"beta_start": beta_start, "beta_end": beta_end}
        return cls(np.cumprod(1.0 - betas).tolist(), description=description)

    @property
    def t_min(self) -> float:
        """Time of index 0."""
        return 1.0 / self.num_train_timesteps

    @property
    def t_max(self) -> float:
        """Time of the last index."""
        return 1.0

    def time_of(self, index: int) -> float:
        """Process time of training index k in 0..N-1.

        Raises:
            InvalidInput: the index is outside the table.
        """
        if not 0 <= index < self.num_train_timesteps:
            raise InvalidInput(
                f"index={index}: outside the process; allowed: 0..{self.num_train_timesteps - 1}",
                field="index",
            )
        return (index + 1) / self.num_train_timesteps

    def index_of(self, t: float) -> int:
        """Training index of a node's time.

        Raises:
            InvalidInput: `t` is no node of the table.
        """
        position = t * self.num_train_timesteps
        nearest = round(position)
        if abs(position - nearest) > NODE_TOLERANCE or not 1 <= nearest <= self.num_train_timesteps:
            raise InvalidInput(
                f"t={t!r}: no node of the process; allowed: (k + 1) / {self.num_train_timesteps} "
                f"for k in 0..{self.num_train_timesteps - 1}",
                field="t",
            )
        return nearest - 1

    def at(self, t: float) -> Level:
        """The level at `t` in [0, 1]; a time within 1e-6 of a node distance is that node.

        Raises:
            InvalidInput: `t` is not in [0, 1].
        """
        if not 0.0 <= t <= 1.0 + NODE_TOLERANCE / self.num_train_timesteps:
            raise InvalidInput(f"t={t!r}: outside the process; allowed: 0 to 1", field="t")
        position = t * self.num_train_timesteps
        nearest = round(position)
        if abs(position - nearest) <= NODE_TOLERANCE:
            return self._level(nearest / self.num_train_timesteps, self._log_alpha[nearest])
        lower = math.floor(position)
        share = position - lower
        left, right = self._log_alpha[lower], self._log_alpha[lower + 1]
        return self._level(t, left + share * (right - left))

    def at_rho(self, rho: float) -> Level:
        """The level with noise-to-signal ratio `rho`, clamped to the noisiest node.

        Raises:
            InvalidInput: `rho` is negative or not a number.
        """
        if not rho >= 0.0:
            raise InvalidInput(f"rho={rho!r}: allowed: 0 and more", field="rho")
        log_alpha = -0.5 * math.log1p(rho * rho)
        if log_alpha <= self._log_alpha[-1]:
            return self.at(1.0)
        # ln alpha decreases with the position: search its negative, which increases.
        upper = max(1, bisect_left(self._log_alpha, -log_alpha, key=lambda value: -value))
        left, right = self._log_alpha[upper - 1], self._log_alpha[upper]
        share = (log_alpha - left) / (right - left)
        return self._level((upper - 1 + share) / self.num_train_timesteps, log_alpha)

    def network_time(self, t: float) -> float:
        """N * t - 1: the training index at nodes, fractional between, never below 0."""
        position = t * self.num_train_timesteps - 1.0
        nearest = round(position)
        return max(0.0, float(nearest) if abs(position - nearest) <= NODE_TOLERANCE else position)

    def describe(self) -> dict[str, object]:
        """The process as plain JSON values."""
        return dict(self._description)

    @staticmethod
    def _level(t: float, log_alpha: float) -> Level:
        # expm1 keeps sigma exact where alpha is close to 1.
        variance = abs(math.expm1(2.0 * log_alpha))  # abs: no negative zero at the clean level
        return Level(t=t, alpha=math.exp(log_alpha), sigma=math.sqrt(variance))


def _check_table(table: np.ndarray) -> None:
    """Refuse tables that are no decreasing sequence inside (0, 1)."""
    is_sequence = table.ndim == 1 and table.size > 0 and bool(np.isfinite(table).all())
    if not is_sequence or table[0] >= 1.0 or table[-1] < 0.0 or bool((np.diff(table) >= 0).any()):
        raise InvalidInput(
            "alphas_cumprod: must be a non-empty, finite, strictly decreasing table below 1",
            field="alphas_cumprod",
        )
