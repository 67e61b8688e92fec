"""UniPC: orders with and without corrector, and what its options do."""

from __future__ import annotations

import pytest

from fewstep.process import VPDiscrete
from fewstep.program import Program, trace
from fewstep.solvers import SOLVERS
from tests.program_comparison import assert_close_programs
from tests.solver_order import fitted_order

PROCESS = VPDiscrete.linear()
NOISY = [0.95, 0.8, 0.62, 0.4, 0.23, 0.1]
CLEAN = [*NOISY, 0.0]


def traced(solver: str, times: list[float], **options: object) -> Program:
    return trace(times, process=PROCESS, solver=solver, options=options)


@pytest.mark.parametrize(
    ("solver", "counts"), [("unipc-2", [80, 160, 320]), ("unipc-3", [160, 320, 640])]
)
@pytest.mark.parametrize(
    ("grid", "variant"), [("nsr", "bh1"), ("nsr", "bh2"), ("irregular", "bh2")]
)
def test_the_fitted_order_is_the_one_claimed(
    solver: str, counts: list[int], grid: str, variant: str
) -> None:
    fit = fitted_order(solver, grid, counts=counts, bottom=0.05, options={"variant": variant})
    assert fit.order == pytest.approx(SOLVERS.get(solver).order, abs=0.2), fit


@pytest.mark.parametrize("solver", ["unipc-2", "unipc-3"])
def test_without_corrector_the_order_is_that_of_the_predictor(solver: str) -> None:
    options = {"corrector": False}
    fit = fitted_order(solver, "nsr", counts=[80, 160, 320], bottom=0.05, options=options)
    assert fit.order == pytest.approx(int(solver[-1]), abs=0.2), fit


def test_without_corrector_unipc_is_dpm_solver_pp() -> None:
    for times in (NOISY, CLEAN):
        assert_close_programs(
            traced("unipc-2", times, corrector=False), traced("dpm-solver++-2m", times)
        )
        assert_close_programs(
            traced("unipc-3", times, corrector=False),
            traced("dpm-solver++-3m", times, curvature="exact"),
        )


def test_the_corrector_costs_no_call() -> None:
    assert traced("unipc-3", CLEAN).nfe == traced("unipc-3", CLEAN, corrector=False).nfe == 6


@pytest.mark.parametrize(("times", "unused"), [(NOISY, 1), (CLEAN, 2)])
def test_only_steps_followed_by_another_are_corrected(times: list[float], unused: int) -> None:
    """The step to the clean level has no corrector, nor has the step before it: the evaluation
    that follows is the sample itself."""
    steps = len(times) - 1
    flags = [True] * (steps - unused) + [False] * unused
    assert traced("unipc-3", times, corrector=flags) == traced("unipc-3", times)
    flags[steps - unused - 1] = False
    assert traced("unipc-3", times, corrector=flags) != traced("unipc-3", times)


def test_orders_are_those_of_each_step() -> None:
    """Order 1 without corrector forgets what came before."""
    forgetful = traced("unipc-3", NOISY, order=1, corrector=False)
    assert_close_programs(forgetful, traced("ddim", NOISY))
    mixed = traced("unipc-3", NOISY, order=[1, 2, 3, 1, 2], corrector=False)
    assert len(mixed.nodes[4].input) == len(traced("unipc-3", NOISY).nodes[4].input)
    assert mixed != traced("unipc-3", NOISY, corrector=False)


def test_lower_order_final_counts_the_step_to_the_clean_level() -> None:
    found = traced("unipc-3", CLEAN, lower_order_final=True)
    assert found == traced("unipc-3", CLEAN, order=[3, 3, 3, 3, 2, 1])
    assert found != traced("unipc-3", CLEAN)


def test_b_of_h_matters_only_where_two_predictions_are_combined() -> None:
    """Third steps and later solve for their weights; corrected, so do second-order ones."""
    first = traced("unipc-2", NOISY, variant="bh1")
    second = traced("unipc-2", NOISY, variant="bh2")
    assert first.nodes[1].input == second.nodes[1].input
    assert first.nodes[2].input != second.nodes[2].input
