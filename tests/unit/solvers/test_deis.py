"""DEIS, multistep: DDIM at degree 0, exact on polynomials, equal to other forms and packages."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DEISMultistepScheduler
from torch import Tensor

from fewstep.denoisers import StackedLevel
from fewstep.denoisers.mixture import GaussianMixture
from fewstep.errors import InvalidInput
from fewstep.level import Level
from fewstep.process import Process, VPDiscrete
from fewstep.process.flow_matching import FlowMatching
from fewstep.process.variance_exploding import EDM, VE
from fewstep.process.vp_cosine import VPCosine
from fewstep.process.vp_linear import VPLinear
from fewstep.program import Program, trace
from fewstep.running import sample
from fewstep.solvers import SOLVERS, Kind, canonical_name
from fewstep.solvers.options import resolve_options
from fewstep.solvers.quadrature import basis_integrals, gauss_in_time
from tests.mixture2d import MIXTURE, at_level, start_states

PROCESSES: tuple[Process, ...] = (
    VPLinear(),
    VPDiscrete.linear(),
    VPCosine(),
    VE(),
    EDM(),
    FlowMatching(shift=3.0),
)
FAMILIES = ("deis-tab", "deis-rhoab", "deis-logrhoab")
MEMBERS = [f"{family}{degree}" for family in FAMILIES for degree in (1, 2, 3)]


def ratio_times(process: Process, steps: int, power: float = 7.0) -> list[float]:
    """A grid of equal steps of rho^(1 / power)."""
    first, last = (process.at(t).rho ** (1.0 / power) for t in (process.t_max, process.t_min))
    roots = np.linspace(first, last, steps + 1)[1:-1]
    inner = [process.at_rho(float(root) ** power).t for root in roots]
    return [process.t_max, *inner, process.t_min]


def difference(one: Program, other: Program) -> float:
    """Largest difference of coefficients, relative to the row's largest."""
    rows = [
        *zip((n.input for n in one.nodes), (n.input for n in other.nodes), strict=True),
        (one.output, other.output),
    ]
    return max(
        max(abs(a.get(key, 0.0) - b.get(key, 0.0)) for key in {*a, *b}) / max(map(abs, b.values()))
        for a, b in rows
    )


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: p.family)
@pytest.mark.parametrize("name", MEMBERS)
def test_degree_0_is_ddim_on_every_process(name: str, process: Process) -> None:
    for times in (ratio_times(process, 6), [*ratio_times(process, 6, power=2.0)[:-1], 0.0]):
        found = trace(times, process=process, solver=name, options={"degree": 0})
        assert difference(found, trace(times, process=process, solver="ddim")) < 1e-12


def test_names_of_degree_0_are_other_names_of_ddim() -> None:
    assert {canonical_name(f"{family}0") for family in FAMILIES} == {"ddim"}


@pytest.mark.parametrize("name", MEMBERS)
def test_each_step_is_one_call(name: str) -> None:
    process = VPDiscrete.linear()
    noisy = trace(ratio_times(process, 8), process=process, solver=name)
    clean = trace([*ratio_times(process, 8)[:-1], 0.0], process=process, solver=name)
    assert (noisy.nfe, clean.nfe) == (8, 8)


@pytest.mark.parametrize("name", MEMBERS)
def test_the_first_steps_use_what_there_is(name: str) -> None:
    """Warm-up: the first step is DDIM's, the second has degree 1, whatever was asked for."""
    process, degree = VPDiscrete.linear(), int(name[-1])
    times = ratio_times(process, 7)
    full = trace(times, process=process, solver=name)
    ramp = [min(degree, i) for i in range(7)]
    assert trace(times, process=process, solver=name, options={"degree": ramp}) == full
    ddim = trace(times, process=process, solver="ddim")
    assert full.nodes[1].input == pytest.approx(ddim.nodes[1].input, rel=1e-12)


def test_the_end_rule_lowers_the_last_two_steps_of_short_grids() -> None:
    kind = SOLVERS.get("deis-rhoab3").options
    ask = {"lower_order_final": True}
    for steps, expected in ((14, [3, 3, 1, 0]), (15, [3, 3, 3, 3])):
        options = resolve_options(kind, ask, steps=steps)
        found = [options.degree_of(i) for i in range(steps)]  # type: ignore[attr-defined]
        assert found[-4:] == expected, steps


@pytest.mark.parametrize("value", [-1, 2])
def test_degrees_beyond_the_member_are_refused(value: int) -> None:
    process = VPDiscrete.linear()
    with pytest.raises(InvalidInput, match="allowed: whole numbers from 0 to 1"):
        trace(
            ratio_times(process, 5),
            process=process,
            solver="deis-tab1",
            options={"degree": [0, 1, 1, value, 1]},
        )


VARIABLES: dict[str, tuple[Callable[[StackedLevel], Tensor], Callable[[Level], float]]] = {
    "deis-tab": (lambda at: at.t, lambda level: level.t),
    "deis-rhoab": (lambda at: at.sigma / at.alpha, lambda level: level.rho),
    "deis-logrhoab": (lambda at: (at.sigma / at.alpha).log(), lambda level: -level.lam),
}


def exact_change(family: str, power: int, process: Process, s: Level, t: Level) -> float:
    """Integral of variable^power over rho from s to t, on a fine rule of its own."""
    nodes, weights = np.polynomial.legendre.leggauss(60)
    u = 0.5 * ((-t.lam - s.lam) + (-t.lam + s.lam) * nodes)
    ratios = np.exp(u)
    values = [VARIABLES[family][1](process.at_rho(float(rho))) ** power for rho in ratios]
    return float(0.5 * (-t.lam + s.lam) * (weights * ratios) @ values)


@pytest.mark.parametrize("power", [0, 1, 2, 3])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("process", [VPLinear(), VPCosine()], ids=lambda p: p.family)
def test_noise_that_is_a_polynomial_is_integrated_exactly_after_warm_up(
    process: Process, family: str, power: int
) -> None:
    times, states = np.linspace(0.5, 0.01, 9).tolist(), []

    def model(x: Tensor, at: StackedLevel, kind: Kind = "denoised") -> Tensor:
        """Its noise depends on the level alone: variable^power."""
        states.append(float(x / at.alpha))
        noise = VARIABLES[family][0](at)[:, None] ** power
        return (x - at.sigma[:, None] * noise) / at.alpha[:, None]

    end = sample(
        model,
        torch.zeros(1, 1, dtype=torch.float64),
        times=times,
        process=process,
        solver=f"{family}{max(power, 1)}",
        options={"degree": power},
    )
    change = float(end) / process.at(times[-1]).alpha - states[power]
    exact = exact_change(family, power, process, process.at(times[power]), process.at(times[-1]))
    assert change == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize("name", ["deis-tab2", "deis-tab3"])
def test_the_form_in_x_gives_the_same_samples(name: str) -> None:
    """alpha'/alpha on x and alpha' C on the noise: the paper's own form."""
    process, degree = VPLinear(), int(name[-1])
    times = ratio_times(process, 9)
    levels = [process.at(t) for t in times]
    x, history = start_states(), list[Tensor]()
    for i, (s, t) in enumerate(pairwise(levels)):
        history.insert(0, (x - s.alpha * MIXTURE(x, at_level(s, len(x)))) / s.sigma)
        nodes = [level.t for level in levels[max(0, i - degree) : i + 1]][::-1]
        x = (t.alpha / s.alpha) * x
        for c, noise in zip(basis_integrals(nodes, gauss_in_time(s, t, process)), history):  # noqa: B905
            x = x + (t.alpha * c) * noise
    found = sample(MIXTURE, start_states(), times=times, process=process, solver=name)
    torch.testing.assert_close(found, x, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_time_is_log_rho_where_sigma_is_geometric_and_rho_where_it_is_sigma(degree: int) -> None:
    """tAB is only defined once the time is: VE makes it logrhoAB, EDM rhoAB."""
    pairs: tuple[tuple[Process, str], ...] = ((VE(), "logrhoab"), (EDM(), "rhoab"))
    for process, other in pairs:
        times = ratio_times(process, 8)
        tab = trace(times, process=process, solver=f"deis-tab{degree}")
        assert (
            difference(tab, trace(times, process=process, solver=f"deis-{other}{degree}")) < 1e-11
        )


def theirs(sigmas: list[float], degree: int, lower: bool, x: Tensor, process: Process) -> Tensor:
    """The installed scheduler on float64 sigmas; its order is one above the degree."""
    scheduler: Any = DEISMultistepScheduler(  # type: ignore[no-untyped-call]
        solver_order=degree + 1, lower_order_final=lower
    )
    scheduler.set_timesteps(len(sigmas) - 1)
    scheduler.sigmas = torch.tensor(sigmas, dtype=torch.float64)
    for sigma, timestep in zip(sigmas[:-1], scheduler.timesteps, strict=True):
        level = process.at_rho(sigma)
        noise = (x - level.alpha * MIXTURE(x, at_level(level, len(x)))) / level.sigma
        x = scheduler.step(noise, timestep, x).prev_sample
    return x


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # of their numpy calls
@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("steps", [5, 10, 14, 20])
@pytest.mark.parametrize("degree", [1, 2])
def test_diffusers_makes_the_same_samples(degree: int, steps: int, lower: bool) -> None:
    process = VPLinear()
    times = ratio_times(process, steps)
    expected = theirs([process.at(t).rho for t in times], degree, lower, start_states(), process)
    found = sample(
        MIXTURE,
        start_states(),
        times=times,
        process=process,
        solver=f"deis-logrhoab{degree}",
        options={"lower_order_final": lower},
    )
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("process", [VPLinear(), VPDiscrete.linear()], ids=lambda p: p.family)
@pytest.mark.parametrize("name", MEMBERS)
def test_last_level_0_is_a_step_of_degree_0(name: str, process: Process) -> None:
    """The rule of tools whose grids end at 0: the clean prediction, at no further call."""
    times = [*ratio_times(process, 6)[:-1], 0.0]
    program = trace(times, process=process, solver=name)
    assert program.output == {"d5": 1.0}


@pytest.mark.parametrize("name", MEMBERS)
def test_times_that_snap_to_one_level_are_refused_by_name(name: str) -> None:
    process = VPDiscrete.linear()
    times = [0.9, 0.8, 0.5 + 1e-11, 0.5, 0.3, 0.1]
    with pytest.raises(InvalidInput, match=r"times: two levels of a multistep method coincide"):
        trace(times, process=process, solver=name)


def test_the_exact_flow_of_one_gaussian_is_reached_on_every_process() -> None:
    """v = m + (v_T - m) sqrt((s^2 + rho^2) / (s^2 + rho_T^2)) for data N(m, s^2)."""
    mean, deviation = torch.tensor([0.4, -0.3], dtype=torch.float64), 0.5
    model = GaussianMixture(weights=(1.0,), means=((0.4, -0.3),), deviations=(deviation,))
    for process in PROCESSES:
        top, bottom = process.at(process.t_max), process.at(process.t_min)
        x = start_states() * top.sigma
        shrink = math.sqrt((deviation**2 + bottom.rho**2) / (deviation**2 + top.rho**2))
        exact = bottom.alpha * (mean + (x / top.alpha - mean) * shrink)
        errors = []
        for steps in (80, 160):
            times = ratio_times(process, steps)
            found = sample(model, x, times=times, process=process, solver="deis-rhoab2")
            errors.append(float((found - exact).abs().max()))
        assert math.log2(errors[0] / errors[1]) > 2.7, (process.family, errors)
