"""Stochastic solvers: their published steps, their draws, and the distribution they converge to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from fewstep.denoisers.mixture import GaussianMixture
from fewstep.errors import InvalidInput
from fewstep.level import Level
from fewstep.process import VPDiscrete
from fewstep.program import trace
from fewstep.running import run_eagerly, sample
from fewstep.solvers import SOLVERS
from tests.mixture2d import MIXTURE, at_level, start_states

PROCESS = VPDiscrete.linear()
# Data of one Gaussian: the denoiser is affine, so moments pass through a solver exactly.
MEAN, DEVIATION = 0.7, 0.5
GAUSSIAN = GaussianMixture(weights=(1.0,), means=((MEAN,),), deviations=(DEVIATION,))
NOISY = [0.95, 0.8, 0.62, 0.4, 0.23, 0.1]
CLEAN = [*NOISY, 0.0]


def log_spaced(steps: int, top: float = 20.0, bottom: float = 0.05) -> list[float]:
    return [PROCESS.at_rho(float(rho)).t for rho in np.geomspace(top, bottom, steps + 1)]


def unit_terms(count: int) -> list[Tensor]:
    """Row 0 is zero throughout, row 1 starts at 1, row i + 2 has 1 as its i-th noise term."""
    terms = torch.zeros(count, count + 2, 1, dtype=torch.float64)
    for i in range(count):
        terms[i, i + 2] = 1.0
    return list(terms)


def moments(
    solver: str, times: Sequence[float], options: Mapping[str, object] | None = None
) -> tuple[float, float]:
    """Exact mean and variance at the end, of start states that have the exact marginal."""
    draws = len(times) - 1
    x = torch.zeros(draws + 2, 1, dtype=torch.float64)
    x[1] = 1.0
    terms = iter(unit_terms(draws))
    ends = run_eagerly(
        GAUSSIAN,
        x,
        times=times,
        process=PROCESS,
        solver=solver,
        options=options,
        noise=lambda: next(terms),
    )[:, 0]
    constant, factors = float(ends[0]), ends[1:] - ends[0]
    top = PROCESS.at(times[0])
    mean = constant + float(factors[0]) * top.alpha * MEAN
    variance = float(factors[0]) ** 2 * marginal_variance(top) + float(factors[1:].square().sum())
    return mean, variance


def marginal_variance(level: Level) -> float:
    return level.alpha**2 * DEVIATION**2 + level.sigma**2


def variance_order(
    solver: str, counts: Sequence[int], options: Mapping[str, object] | None = None
) -> float:
    """Fitted order of the error of the variance, at the noise-to-signal ratio of the data's size.

    Further down Euler-Maruyama's error of order 1 vanishes with the noise, and order 2 is seen.
    """
    errors = []
    for steps in counts:
        times = log_spaced(steps, bottom=0.5)
        found = moments(solver, times, options)[1]
        errors.append(abs(found - marginal_variance(PROCESS.at(times[-1]))))
    return -float(np.polyfit(np.log(counts), np.log(errors), 1)[0])


@pytest.mark.parametrize("solver", ["reverse-diffusion", "euler-maruyama", "ddpm"])
def test_the_variance_converges_to_the_exact_one_at_order_one(solver: str) -> None:
    found = variance_order(solver, [80, 160, 320])
    assert found == pytest.approx(SOLVERS.get(solver).order, abs=0.2), found


def test_churned_heun_converges_in_distribution_at_order_two() -> None:
    """Unit noise, and few enough of it that gamma is never capped, so that it shrinks with 1/K."""
    options = {"s_churn": 10.0, "s_noise": 1.0, "s_tmax": 1000.0, "s_tmin": 0.0}
    found = variance_order("karras-churn", [80, 160, 320], options)
    assert found == pytest.approx(SOLVERS.get("karras-churn").order, abs=0.2), found


def test_inflated_noise_leaves_a_bias_that_no_steps_remove() -> None:
    exact = marginal_variance(PROCESS.at_rho(0.05))
    options = {"s_churn": 10.0, "s_noise": 1.007}
    biases = [moments("karras-churn", log_spaced(n), options)[1] / exact - 1 for n in (160, 320)]
    assert 1e-3 < biases[1] < biases[0] * 1.2 < 0.05, biases


@pytest.mark.parametrize("solver", ["reverse-diffusion", "euler-maruyama", "karras-churn"])
def test_the_mean_converges_to_the_exact_one(solver: str) -> None:
    times = log_spaced(320)
    mean, _ = moments(solver, times)
    assert mean == pytest.approx(PROCESS.at(times[-1]).alpha * MEAN, abs=5e-3)


Draw = Callable[[], Tensor]


def denoised_at(v: Tensor, at: Level) -> Tensor:
    return MIXTURE(at.alpha * v, at_level(at, len(v)))


def published_rd(v: Tensor, levels: Sequence[Level], draw: Draw) -> Tensor:
    """x + (sigma_s^2 - sigma_t^2) score + sqrt(sigma_s^2 - sigma_t^2) z, variance exploding."""
    for s, t in pairwise(levels):
        score = (denoised_at(v, s) - v) / s.rho**2
        v = v + (s.rho**2 - t.rho**2) * score + math.sqrt(s.rho**2 - t.rho**2) * draw()
    return v


def published_em(v: Tensor, levels: Sequence[Level], draw: Draw) -> Tensor:
    """g^2 = 2 ln(sigma_0 / sigma_N) sigma(t)^2, N steps of size 1 / N, on geometric levels."""
    steps = len(levels) - 1
    for s in levels[:-1]:
        g2 = 2.0 * math.log(levels[0].rho / levels[-1].rho) * s.rho**2
        v = v + g2 / steps * (denoised_at(v, s) - v) / s.rho**2 + math.sqrt(g2 / steps) * draw()
    return v


def published_kar2(v: Tensor, levels: Sequence[Level], draw: Draw) -> Tensor:
    """Karras et al., algorithm 2, with the thresholds and noise of denoising MCMC."""
    steps = len(levels) - 1
    for s, t in pairwise(levels):
        gamma = min(80.0 / steps, math.sqrt(2.0) - 1.0) if 0.05 <= s.rho <= 1.0 else 0.0
        hat = PROCESS.at_rho((1.0 + gamma) * s.rho)
        v = v + math.sqrt(hat.rho**2 - s.rho**2) * 1.007 * draw() if gamma else v + 0.0 * draw()
        slope = (v - denoised_at(v, hat)) / hat.rho
        v_next = v + (t.rho - hat.rho) * slope
        if not t.is_clean:
            slope_next = (v_next - denoised_at(v_next, t)) / t.rho
            v_next = v + (t.rho - hat.rho) * 0.5 * (slope + slope_next)
        v = v_next
    return v


@pytest.mark.parametrize(
    ("solver", "published", "bottom"),
    [
        ("reverse-diffusion", published_rd, 0.03),
        ("euler-maruyama", published_em, 0.03),
        ("karras-churn", published_kar2, 0.03),
        ("karras-churn", published_kar2, 0.0),
    ],
)
def test_steps_are_the_published_ones(
    solver: str,
    published: Callable[[Tensor, Sequence[Level], Draw], Tensor],
    bottom: float,
) -> None:
    times = log_spaced(12, bottom=0.03)
    if bottom == 0.0:
        times[-1] = 0.0
    levels = [PROCESS.at(t) for t in times]
    rng = np.random.default_rng(5)
    terms = [torch.from_numpy(rng.standard_normal((16, 2))) for _ in range(12)]
    x, draws = start_states(), iter(terms)
    expected = published(x / levels[0].alpha, levels, lambda: next(draws)) * levels[-1].alpha
    found = sample(MIXTURE, x, times=times, process=PROCESS, solver=solver, noise=terms)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("solver", ["reverse-diffusion", "euler-maruyama"])
def test_noise_is_drawn_once_per_step_after_its_evaluation(solver: str) -> None:
    """The step to the clean level returns the mean, and draws none."""
    noisy = trace(NOISY, process=PROCESS, solver=solver)
    assert noisy.noise_terms == 5
    assert trace(CLEAN, process=PROCESS, solver=solver).noise_terms == 5
    first_use = [
        next(i for i, node in enumerate(noisy.nodes) if f"n{k}" in node.input) for k in range(4)
    ]
    assert first_use == [1, 2, 3, 4]
    assert "n4" in noisy.output


def test_churn_draws_for_every_step_and_adds_noise_in_its_range_only() -> None:
    program = trace(CLEAN, process=PROCESS, solver="karras-churn")
    assert (program.noise_terms, program.nfe) == (6, 11)
    within = [i for i, t in enumerate(NOISY) if 0.05 <= PROCESS.at(t).rho <= 1.0]
    used = {name for node in program.nodes for name in node.input if name.startswith("n")}
    assert used == {f"n{i}" for i in within}


def test_without_churn_it_is_heun_and_draws_nothing() -> None:
    for times in (NOISY, CLEAN):
        found = trace(times, process=PROCESS, solver="karras-churn", options={"s_churn": 0.0})
        assert found == trace(times, process=PROCESS, solver="heun")


def test_churn_never_leaves_the_process() -> None:
    """At the noisiest level there is nothing to raise it to."""
    program = trace(
        [1.0, 0.5, 0.1], process=PROCESS, solver="karras-churn", options={"s_tmax": 1000.0}
    )
    assert program.nodes[0].level == PROCESS.at(1.0)
    assert set(program.nodes[0].input) == {"x"}
    assert "n1" in program.nodes[2].input


def test_a_range_turned_around_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"options\.s_tmin=2\.0: allowed: numbers up to"):
        trace(CLEAN, process=PROCESS, solver="karras-churn", options={"s_tmin": 2.0})
