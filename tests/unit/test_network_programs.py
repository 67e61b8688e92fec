"""Programs whose nodes run different networks: which step a node belongs to, and who is called."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fewstep.denoisers import StackedLevel
from fewstep.errors import InvalidInput
from fewstep.process import VPDiscrete
from fewstep.program import Program, trace
from fewstep.running import run, run_stacked
from fewstep.solvers import Kind

PROCESS = VPDiscrete.linear()
TIMES = (0.9, 0.6, 0.3, 0.0)


class Scaled:
    """Predicts its factor times the state, and counts its calls."""

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self.calls = 0

    def __call__(self, x: Tensor, at: StackedLevel, kind: Kind = "denoised") -> Tensor:
        self.calls += 1
        return self.factor * x


def _program(solver: str = "ddim") -> Program:
    return trace(TIMES, process=PROCESS, solver=solver).with_networks(TIMES, (0, 1, 0))


def test_every_node_runs_the_network_of_its_step() -> None:
    assert [node.network for node in _program().nodes] == [0, 1, 0]


def test_nodes_between_times_belong_to_the_step_that_takes_them() -> None:
    program = _program("dpm-solver-2")  # a middle evaluation in each step but the last
    found = [(round(node.level.t, 3), node.network) for node in program.nodes]
    for t, network in found:
        assert network == (1 if 0.3 < t <= 0.6 else 0), found
    assert len(found) == 5


def test_other_numbers_of_networks_are_refused() -> None:
    with pytest.raises(InvalidInput, match="2 networks for 3 steps"):
        trace(TIMES, process=PROCESS, solver="ddim").with_networks(TIMES, (0, 1))


def test_json_names_networks_and_leaves_out_the_first() -> None:
    document = _program().to_dict()
    assert Program.from_dict(document) == _program()
    nodes = document["nodes"]
    assert isinstance(nodes, list)
    assert [node.get("network") for node in nodes] == [None, 1, None]


@pytest.mark.parametrize("network", [-1, 1.0, "1", True, None])
def test_a_network_that_is_no_number_is_refused(network: object) -> None:
    document = _program().to_dict()
    nodes = document["nodes"]
    assert isinstance(nodes, list)
    nodes[1]["network"] = network
    with pytest.raises(InvalidInput, match=r"nodes\[1\]\.network="):
        Program.from_dict(document)


def test_each_network_is_called_for_its_own_steps() -> None:
    first, second = Scaled(0.5), Scaled(0.25)
    x = torch.randn(4, 1, 2, 2, dtype=torch.float64, generator=torch.manual_seed(0))
    found = run(_program(), [first, second], x)
    assert (first.calls, second.calls) == (2, 1)
    factors = iter((0.5, 0.25, 0.5))

    def by_call(x: Tensor, at: StackedLevel, kind: Kind = "denoised") -> Tensor:
        return next(factors) * x

    plain = trace(TIMES, process=PROCESS, solver="ddim")
    assert torch.equal(found, run(plain, by_call, x))


def test_stacked_programs_call_the_networks_of_their_nodes() -> None:
    x = torch.randn(6, 1, 2, 2, generator=torch.manual_seed(0))
    denoisers = [Scaled(0.5), Scaled(0.25)]
    stacked = run_stacked([_program(), _program()], [2, 4], denoisers, x)
    torch.testing.assert_close(stacked, run(_program(), denoisers, x))


def test_programs_of_other_networks_do_not_stack() -> None:
    plain = trace(TIMES, process=PROCESS, solver="ddim")
    with pytest.raises(InvalidInput, match="programs: they differ"):
        run_stacked([plain, _program()], [1, 1], [Scaled(1), Scaled(1)], torch.zeros(2, 1, 2, 2))


def test_a_missing_network_is_named() -> None:
    with pytest.raises(InvalidInput, match="runs network 1, 1 given"):
        run(_program(), Scaled(0.5), torch.zeros(1, 1, 2, 2))
