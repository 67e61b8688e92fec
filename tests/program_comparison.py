"""Programs held against each other: the same evaluations, and coefficients up to rounding."""

from __future__ import annotations

import pytest

from fewstep.program import Program


def assert_close_programs(found: Program, expected: Program, *, tolerance: float = 1e-12) -> None:
    """Equal levels, and coefficients that differ by rounding only."""
    assert [node.level for node in found.nodes] == [node.level for node in expected.nodes]
    rows = [*(node.input for node in found.nodes), found.output]
    others = [*(node.input for node in expected.nodes), expected.output]
    for row, other in zip(rows, others, strict=True):
        assert dict(row) == pytest.approx(dict(other), rel=tolerance, abs=tolerance)
