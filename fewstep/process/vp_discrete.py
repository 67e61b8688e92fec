"""The variance-preserving process of discrete-time models (DDPM, ADM, Stable Diffusion)."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from fewstep.errors import InvalidInput
from fewstep.level import Level
from fewstep.process.checks import ALPHA_FLOOR, check_rho

INTERPOLATION = "log-alpha-linear"
# A time this close to a node (in units of the node distance) is that node.
NODE_TOLERANCE = 1e-6


class VPDiscrete:
    """A table of cumulative alphas; index k is process time t = (k + 1) / N, t = 0 is clean.

    Between nodes ln alpha is piecewise linear in t (`interpolation: log-alpha-linear`), below the
    first node too. alpha is floored at 2^-12. The network is fed N * t - 1, which is k at nodes.

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
        self.num_train_timesteps = len(table)
        self._log_alpha = tuple(_log_alpha(table).tolist())  # position j is time j / N
        self._hash = hash(self._log_alpha)
        self._description = description or {
            "family": self.family,
            "beta_schedule": "table",
            "interpolation": INTERPOLATION,
            "alphas_cumprod": table.tolist(),
        }

    def __eq__(self, other: object) -> bool:
        """Equal tables, whatever they are called."""
        if not isinstance(other, VPDiscrete):
            return NotImplemented
        return self._hash == other._hash and self._log_alpha == other._log_alpha

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        named = {k: v for k, v in self._description.items() if k != "alphas_cumprod"}
        return f"VPDiscrete({self.num_train_timesteps} times, {named})"

    @classmethod
    def linear(
        cls,
        num_train_timesteps: int = 1000,
        beta_start: float = 1e-4,
        beta_end: float = 0.02,
    ) -> VPDiscrete:
        """Betas linear in the index. Ref: Ho et al. 2020, section 4."""
        _check_betas(beta_start, beta_end)
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
        _check_betas(beta_start, beta_end)
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
    def zero_terminal_snr(cls, base: VPDiscrete) -> VPDiscrete:
        """A table rescaled so that its last entry holds no signal (alpha 2^-12 here, never 0).

        alpha' = (alpha - alpha_N) alpha_1 / (alpha_1 - alpha_N): the first entry is kept.

        Ref: Lin et al. 2023, algorithm 1.

        Raises:
            InvalidInput: a table of one entry, or one that is rescaled already.
        """
        alphas = np.exp(np.asarray(base._log_alpha[1:]))
        if len(alphas) < 2 or "rescale_zero_snr" in base._description:
            raise InvalidInput(
                f"base={base!r}: allowed: tables of 2 entries and more, not rescaled yet",
                field="base",
            )
        rescaled = (alphas - alphas[-1]) * (alphas[0] / (alphas[0] - alphas[-1]))
        return cls((rescaled**2).tolist(), description=base.describe() | {"rescale_zero_snr": True})

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
            "interpolation": INTERPOLATION,
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

    @property
    def initial_scale(self) -> float:
        """Standard deviation of the start states, 1."""
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

    def node_log_alphas(self, first: int, last: int) -> np.ndarray:
        """ln alpha at the times j / N for j = first..last: the ends of its linear pieces."""
        return np.array(self._log_alpha[first : last + 1])

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
        log_alpha = -0.5 * math.log1p(check_rho(rho) * rho)
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


def _log_alpha(table: np.ndarray) -> np.ndarray:
    """ln alpha at positions 0 (clean) to N.

    Entries at or below the floor are put on the straight line to the floor at the last node: alpha
    changes by less than 2^-12 there, and the levels stay distinct (the rescaled linear table has
    four such entries).
    """
    log_alpha = np.concatenate([[0.0], 0.5 * np.log(np.maximum(table, ALPHA_FLOOR**2))])
    below = np.flatnonzero(table <= ALPHA_FLOOR**2)
    if below.size:
        start = below[0]  # as a position: the last one above the floor
        log_alpha[start:] = np.linspace(log_alpha[start], math.log(ALPHA_FLOOR), below.size + 1)
    return log_alpha


def _check_betas(beta_start: float, beta_end: float) -> None:
    """Refuse ends of a beta schedule outside (0, 1)."""
    for name, value in (("beta_start", beta_start), ("beta_end", beta_end)):
        if not 0.0 < value < 1.0:
            raise InvalidInput(f"{name}={value!r}: allowed: above 0, below 1", field=name)
