"""Programs: traced equals eager, readable by anyone, refused when they make no sense."""

from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewstep.errors import InvalidInput, UnknownName
from fewstep.process import VPDiscrete
from fewstep.program import Program, trace
from fewstep.running import run, run_stacked
from tests.mixture import MixtureDenoiser

PROCESS = VPDiscrete.linear()


@st.composite
def grids(draw: st.DrawFn) -> list[float]:
    """Grids of nodes that may or may not end clean."""
    indices = draw(st.sets(st.integers(0, 999), min_size=2, max_size=12))
    times = [PROCESS.time_of(index) for index in sorted(indices, reverse=True)]
    return [*times, 0.0] if draw(st.booleans()) else times


@given(times=grids())
@settings(max_examples=40)
def test_json_keeps_every_digit(times: list[float]) -> None:
    program = trace(times, process=PROCESS, solver="heun")
    assert Program.from_dict(json.loads(json.dumps(program.to_dict()))) == program


def test_stacked_programs_give_what_each_gives_alone() -> None:
    grids = ([0.9, 0.4, 0.1, 0.0], [0.7, 0.3, 0.02, 0.0])
    programs = [trace(times, process=PROCESS, solver="dpm-solver++-2m") for times in grids]
    x = torch.linspace(-2.0, 2.0, 10, dtype=torch.float64)[:, None]
    together = run_stacked(programs, [4, 6], MixtureDenoiser(), x)
    alone = [run(programs[0], MixtureDenoiser(), x[:4]), run(programs[1], MixtureDenoiser(), x[4:])]
    assert torch.equal(together, torch.cat(alone))


def test_programs_of_other_shape_cannot_be_stacked() -> None:
    short = trace([0.5, 0.0], process=PROCESS, solver="ddim")
    long = trace([0.9, 0.5, 0.0], process=PROCESS, solver="ddim")
    with pytest.raises(InvalidInput, match="equal shape"):
        run_stacked([short, long], [1, 1], MixtureDenoiser(), torch.zeros(2, 1))


def test_rows_must_add_up_to_the_batch() -> None:
    program = trace([0.5, 0.0], process=PROCESS, solver="ddim")
    with pytest.raises(InvalidInput, match="batch of 3"):
        run_stacked([program], [2], MixtureDenoiser(), torch.zeros(3, 1))


@pytest.mark.parametrize(
    ("times", "field"),
    [
        ([0.5], "times"),
        ([0.5, 0.5], "times[1]"),
        ([0.4, 0.5], "times[1]"),
        ([0.5, math.nan], "times[1]"),
        ([1.5, 0.5], "times[0]"),
        ([0.5, -0.1], "times[1]"),
    ],
)
def test_times_that_are_no_grid_are_refused_by_position(times: list[float], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        trace(times, process=PROCESS, solver="ddim")
    assert caught.value.field == field
    assert "allowed" in caught.value.message or "must" in caught.value.message


def test_an_unknown_solver_lists_those_there_are() -> None:
    with pytest.raises(UnknownName, match=r"ddim.*dpm-solver\+\+-2m.*euler.*heun"):
        trace([0.5, 0.0], process=PROCESS, solver="rk4")


def test_condition_is_the_largest_row_sum() -> None:
    program = trace([0.9, 0.5, 0.1, 0.0], process=PROCESS, solver="dpm-solver++-2m")
    rows = [node.input for node in program.nodes] + [program.output]
    assert program.condition == pytest.approx(max(sum(map(abs, row.values())) for row in rows))


@pytest.mark.parametrize(
    "break_it",
    [
        lambda document: document["output"].update(d7=1.0),
        lambda document: document["nodes"][0]["input"].update(d0=1.0),
        lambda document: document["nodes"][0].update(kind="magic"),
        lambda document: document["nodes"][0].update(alpha="1"),
        lambda document: document.update(nodes=3),
        lambda document: document.pop("output"),
    ],
)
def test_a_broken_document_is_refused(break_it) -> None:  # type: ignore[no-untyped-def]
    document = trace([0.9, 0.5, 0.0], process=PROCESS, solver="ddim").to_dict()
    document = json.loads(json.dumps(document))
    break_it(document)
    with pytest.raises(InvalidInput, match="program"):
        Program.from_dict(document)
