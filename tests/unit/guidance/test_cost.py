"""What guidance costs, in passes and gradients."""

from __future__ import annotations

import pytest

from fewstep.errors import InvalidInput
from fewstep.guidance import Cost, Guidance, cost_of
from fewstep.process import VPDiscrete
from fewstep.program import trace
from fewstep.solvers import Kind


@pytest.mark.parametrize(
    ("guidance", "calls", "cost"),
    [
        ("none", {"denoised": 5}, Cost(5, 0)),
        ("none", {"base": 5, "impute": 5}, Cost(5, 0)),
        ("classifier-free", {"denoised": 5}, Cost(10, 0)),
        ("classifier-free", {"base": 5, "gradient": 5}, Cost(15, 0)),
        ("classifier-free", {"base": 5, "gradient": 10}, Cost(25, 0)),
        ("classifier", {"denoised": 5}, Cost(5, 5)),
        ("classifier", {"base": 5, "gradient": 10, "impute": 5}, Cost(5, 10)),
    ],
)
def test_calls_cost_what_the_kind_of_guidance_makes_of_them(
    guidance: Guidance, calls: dict[Kind, int], cost: Cost
) -> None:
    assert cost_of(calls, guidance) == cost


def test_gradients_count_as_the_share_of_a_pass_they_take() -> None:
    assert Cost(passes=10, gradients=4).in_passes(0.25) == 11.0


def test_split_solvers_need_guidance() -> None:
    program = trace([1.0, 0.5, 0.0], process=VPDiscrete.linear(), solver="ltsp1")
    calls = {node.kind: program.calls[node.kind] for node in program.nodes}
    with pytest.raises(InvalidInput, match="guidance='none': gives no gradient") as refused:
        cost_of(calls, "none")
    assert refused.value.field == "guidance"
