"""Sampling on every process: v = x / alpha sees noise ratios alone, so all of them must agree."""

from __future__ import annotations

import numpy as np
import pytest
from torch import Tensor

from fewstep.process import FlowMatching, Process, VPLinear
from fewstep.running import sample
from tests.mixture2d import MIXTURE, exact_flow, rms, start_states
from tests.processes import PROCESSES, label

TOP, BOTTOM = 40.0, 0.03


def _sampled(process: Process, solver: str, steps: int, *, ends_clean: bool) -> Tensor:
    """v at the end, from v = TOP * unit normal, over a grid uniform in log rho."""
    levels = [process.at_rho(float(rho)) for rho in np.geomspace(TOP, BOTTOM, steps + 1)]
    times = [*(level.t for level in levels[:-1]), 0.0 if ends_clean else levels[-1].t]
    x = start_states() * (TOP * levels[0].alpha)
    found = sample(MIXTURE, x, times=times, process=process, solver=solver)
    return found if ends_clean else found / levels[-1].alpha


@pytest.mark.parametrize("process", PROCESSES, ids=label)
@pytest.mark.parametrize("solver", ["ddim", "heun", "dpm-solver++-2m"])
@pytest.mark.parametrize("ends_clean", [False, True])
def test_equal_noise_ratios_give_equal_samples(
    process: Process, solver: str, ends_clean: bool
) -> None:
    found = _sampled(process, solver, 12, ends_clean=ends_clean)
    expected = _sampled(VPLinear(), solver, 12, ends_clean=ends_clean)
    assert rms(found - expected) < 1e-9, rms(found - expected)


@pytest.mark.parametrize("process", [VPLinear(), FlowMatching()], ids=label)
def test_heun_comes_near_the_exact_flow(process: Process) -> None:
    top, bottom = process.at_rho(TOP), process.at_rho(BOTTOM)
    truth = exact_flow(start_states() * (TOP * top.alpha), top, bottom, process=process)
    error = rms(_sampled(process, "heun", 150, ends_clean=False) - truth / bottom.alpha)
    assert error < 2e-4, error
