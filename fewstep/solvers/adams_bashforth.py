"""Weights of Adams-Bashforth methods: integrals of the polynomial through past predictions.

Nodes and weights run newest first, as a history is read. Shared by DEIS, iPNDM, PLMS and the
splitting solvers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from fewstep.errors import InvalidInput

# Row p is the method of order p on equal steps, in units of the step.
_CONSTANT_WEIGHTS = (
    (1.0,),
    (3.0 / 2.0, -1.0 / 2.0),
    (23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0),
    (55.0 / 24.0, -59.0 / 24.0, 37.0 / 24.0, -9.0 / 24.0),
)
MAX_ORDER = len(_CONSTANT_WEIGHTS)


def constant_weights(order: int) -> tuple[float, ...]:
    """Classical weights of equal steps, newest first; they add up to 1.

    Ref: Liu et al. 2022 (PNDM), the linear multi-step method; Zhang, Chen 2023 (DEIS), iPNDM.

    Raises:
        InvalidInput: no weights of that order.
    """
    if not 1 <= order <= MAX_ORDER:
        raise InvalidInput(f"order={order}: allowed: 1 to {MAX_ORDER}", field="order")
    return _CONSTANT_WEIGHTS[order - 1]


def lagrange_weights(nodes: Sequence[float], start: float, stop: float) -> tuple[float, ...]:
    """Integrals over [start, stop] of the Lagrange basis polynomials on `nodes`.

    Exact up to rounding: with all nodes on the far side of `start`, as in extrapolation, every
    basis polynomial has coefficients of one sign there, so nothing cancels. The weights add up to
    `stop - start`.

    Raises:
        InvalidInput: two nodes are equal.
    """
    h = stop - start
    return tuple(
        math.fsum(c * h ** (power + 1) / (power + 1) for power, c in enumerate(row))
        for row in lagrange_basis([node - start for node in nodes])
    )


def lagrange_basis(nodes: Sequence[float]) -> tuple[tuple[float, ...], ...]:
    """Coefficients of each Lagrange basis polynomial, in ascending powers.

    Raises:
        InvalidInput: two nodes are equal.
    """
    check_distinct(nodes)
    return tuple(_basis_polynomial(nodes, j) for j in range(len(nodes)))


def check_distinct(nodes: Sequence[float]) -> None:
    """Refuse nodes through which no polynomial goes.

    Raises:
        InvalidInput: two nodes are equal.
    """
    if len(set(nodes)) != len(nodes):
        raise InvalidInput(
            "times: two levels of a multistep method coincide; allowed: strictly decreasing noise",
            field="times",
        )


def _basis_polynomial(nodes: Sequence[float], j: int) -> tuple[float, ...]:
    """The polynomial that is 1 at nodes[j] and 0 at the others."""
    coefficients = [1.0]
    for k, node in enumerate(nodes):
        if k == j:
            continue
        scale = 1.0 / (nodes[j] - node)
        shifted = [0.0, *coefficients]  # times q
        kept = [*coefficients, 0.0]
        coefficients = [(up - node * same) * scale for up, same in zip(shifted, kept, strict=True)]
    return tuple(coefficients)
