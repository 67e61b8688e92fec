"""Phi functions, weights and inner levels: what the exponential integrators in lambda share.

They solve the flow's linear part exactly and replace a prediction along a step by a polynomial.
With h = lam_t - lam_s and the polynomial's argument tau in [0, 1] along the step:

    x_t = (sigma_t / sigma_s) x_s + alpha_t h int_0^1 e^(-h (1 - tau)) D(tau) dtau      (denoised)
    x_t = (alpha_t / alpha_s) x_s - sigma_t h int_0^1 e^(+h (1 - tau)) eps(tau) dtau    (noise)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from fewstep.errors import InvalidInput
from fewstep.level import Level
from fewstep.process.base import Process
from fewstep.solvers.adams_bashforth import lagrange_basis

# The recurrence loses about 1 / |z| per order; below this the series takes over.
_SERIES_BELOW = 1.0
# Terms of the series: the last one is below 1e-19 of the first for |z| < 1.
_SERIES_TERMS = 20


def phi(order: int, z: float) -> float:
    """phi_k(z) = int_0^1 e^((1 - tau) z) tau^(k - 1) / (k - 1)! dtau, k = 1, 2, ...

    phi_1(z) = (e^z - 1) / z, phi_(k+1)(z) = (phi_k(z) - 1 / k!) / z.
    """
    if abs(z) < _SERIES_BELOW:
        terms = (z**n / math.factorial(n + order) for n in range(_SERIES_TERMS))
        return math.fsum(terms)
    value = math.expm1(z) / z
    for k in range(1, order):
        value = (value - 1.0 / math.factorial(k)) / z
    return value


def exponential_weights(nodes: Sequence[float], z: float) -> tuple[float, ...]:
    """Integrals over tau in [0, 1] of e^(z (1 - tau)) times each Lagrange polynomial on `nodes`.

    Nodes are in units of the step: 0 is its start, 1 its end, earlier levels are negative. The
    weights add up to phi_1(z).

    Raises:
        InvalidInput: two nodes are equal.
    """
    moments = [math.factorial(k) * phi(k + 1, z) for k in range(len(nodes))]
    return tuple(
        math.fsum(c * moment for c, moment in zip(row, moments, strict=True))
        for row in lagrange_basis(nodes)
    )


def inner_level(process: Process, s: Level, t: Level, share: float) -> Level:
    """The level `share` of the way from `s` to `t` in lambda; `t` itself for a share of 1.

    Raises:
        InvalidInput: the process has no level strictly between them.
    """
    if share == 1.0:
        return t
    inner = process.at_rho(math.exp(-(s.lam + share * (t.lam - s.lam))))
    if not t.rho < inner.rho < s.rho:
        raise InvalidInput(
            f"times: no level between t={s.t!r} and t={t.t!r}; allowed: levels far enough apart "
            "for the evaluations inside a step",
            field="times",
        )
    return inner
