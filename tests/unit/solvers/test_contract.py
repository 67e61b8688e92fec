"""What every registered solver keeps, whatever its method: traced equals eager, and so on."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import HealthCheck, assume, given, reject, settings
from hypothesis import strategies as st
from torch import Tensor

from fewstep.denoisers import Denoiser, StackedLevel
from fewstep.errors import InvalidInput
from fewstep.process import Process
from fewstep.program import HIGH_CONDITION, Program, trace
from fewstep.running import run, run_eagerly
from fewstep.solvers import SOLVERS, Kind, Solver
from fewstep.solvers.options import OptionSpec, option_specs
from tests.mixture2d import MIXTURE
from tests.processes import PROCESSES

ROUNDINGS = 64  # units in the last place; a dozen steps with a few stages round that often
SOLVER_NAMES = SOLVERS.names()
WITH_MEMORY = [name for name in SOLVER_NAMES if SOLVERS.get(name).memory > 1]
# Noise and guidance leave the straight line of a constant prediction, and Euler's method in rho^2
# bends it, by what its own tests say.
STRAIGHT = [
    name
    for name in SOLVER_NAMES
    if not (SOLVERS.get(name).is_stochastic or SOLVERS.get(name).is_split)
    and name != "probability-flow"
]


def guided(x: Tensor, at: StackedLevel, kind: Kind = "denoised") -> Tensor:
    """The mixture, drawn towards x[0] = 1; answers every kind, so split solvers run too."""
    if kind == "gradient":
        pull = torch.zeros_like(x)
        pull[:, 0] = at.alpha - x[:, 0]
        return pull
    if kind == "impute":
        return torch.cat([at.alpha[:, None].to(x), x[:, 1:]], dim=1)
    return MIXTURE(x, at)


class Calm:
    """A model that amplifies no difference of its inputs, and the largest numbers it has seen.

    So what two ways of computing differ by is their own rounding. The mixture would not do: near
    the data its slope between two components multiplies any rounding error many times over.
    """

    def __init__(self) -> None:
        self.largest = 1.0
        self.largest_rescaled = 1.0  # of x / alpha, the coordinate that most solvers step in
        self._mix = torch.tensor([[0.5, -0.3], [0.2, 0.6]], dtype=torch.float64)

    def __call__(self, x: Tensor, at: StackedLevel, kind: Kind = "denoised") -> Tensor:
        """Bounded predictions that differ by kind and level."""
        self.largest = max(self.largest, float(x.abs().max()))
        rescaled = float((x.abs() / at.alpha[:, None]).max())
        self.largest_rescaled = max(self.largest_rescaled, rescaled)
        bounded = torch.tanh(x @ self._mix + at.sigma[:, None] / (1.0 + at.sigma[:, None]))
        return {"denoised": 1.0, "base": 0.9, "gradient": -0.5, "impute": 0.7}[kind] * bounded


def start() -> Tensor:
    """Eight states, float64."""
    return torch.from_numpy(np.random.default_rng(1).standard_normal((8, 2)))


def noise_terms(count: int) -> list[Tensor]:
    """Unit normal terms shaped like `start`."""
    rng = np.random.default_rng(2)
    return [torch.from_numpy(rng.standard_normal((8, 2))) for _ in range(count)]


def values_of(spec: OptionSpec) -> st.SearchStrategy[object]:
    """Values an option allows."""
    if isinstance(spec.default, bool):
        return st.booleans()
    if spec.choices is not None:
        return st.sampled_from(spec.choices)
    low = spec.low if math.isfinite(spec.low) else float(spec.default)
    high = spec.high if math.isfinite(spec.high) else max(2.0 * float(spec.default), low + 1.0)
    if isinstance(spec.default, int):
        return st.integers(math.ceil(low), math.floor(high))
    return st.floats(low, high)


@st.composite
def cases(draw: st.DrawFn, solver: Solver) -> tuple[Process, list[float], dict[str, object]]:
    """A process, a grid of it that may or may not end clean, and options."""
    process = draw(st.sampled_from(PROCESSES))
    steps = draw(st.integers(solver.memory, max(solver.memory, 9)))
    shares = draw(
        st.lists(st.integers(0, 10**6), min_size=steps + 1, max_size=steps + 1, unique=True)
    )
    width = math.log(process.at(process.t_max).rho / process.at(process.t_min).rho)
    low = process.at(process.t_min).rho
    ratios = [low * math.exp(width * share / 10**6) for share in sorted(shares, reverse=True)]
    times = [process.at_rho(rho).t for rho in ratios]
    if draw(st.booleans()):
        times[-1] = 0.0
    options = {}
    for name, spec in option_specs(solver.options).items():
        if draw(st.booleans()):
            one = values_of(spec)
            is_list = spec.per_step and draw(st.booleans())
            options[name] = draw(st.lists(one, min_size=steps, max_size=steps) if is_list else one)
    return process, times, options


@pytest.mark.parametrize("name", SOLVER_NAMES)
@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_a_traced_program_and_the_solver_itself_agree(name: str, data: st.DataObject) -> None:
    process, times, options = data.draw(cases(SOLVERS.get(name)))
    try:
        program = trace(times, process=process, solver=name, options=options)
    except InvalidInput:
        reject()  # options that exclude each other; which ones is each family's own test
    assume(program.condition <= HIGH_CONDITION)  # a solver without such programs fails
    terms = noise_terms(program.noise_terms)
    draws: Iterator[Tensor] = iter(terms)
    model = Calm()
    eager = run_eagerly(
        model,
        start(),
        times=times,
        process=process,
        solver=name,
        options=options,
        noise=lambda: next(draws),
    )
    traced = run(program, model, start(), noise=terms)
    assert next(draws, None) is None
    # Where alpha is small, a run in x / alpha rounds numbers of up to 4096 times x: these few units
    # in the last place are the run's own, and a program, whose coefficients are of x, has none.
    rounding = ROUNDINGS * torch.finfo(torch.float64).eps * model.largest_rescaled
    assert float((traced - eager).abs().max()) <= max(1e-12 * model.largest, rounding)


@pytest.mark.parametrize("name", SOLVER_NAMES)
@pytest.mark.parametrize("extra", [0, 1, 6])
def test_calls_are_those_the_solver_promises(name: str, extra: int) -> None:
    solver = SOLVERS.get(name)
    steps = solver.memory + extra
    times = [*np.linspace(1.0, 0.1, steps).tolist(), 0.0]
    program = trace(times, process=PROCESSES[0], solver=name)
    assert program.nfe == solver.nfe_of_steps(steps)
    assert solver.steps_of_nfe(program.nfe) == steps
    assert ("gradient" in program.calls) == solver.is_split
    assert (program.noise_terms > 0) <= solver.is_stochastic


def read_and_run(
    text: str, denoise: Denoiser, x: npt.NDArray[np.float64], noise: list[npt.NDArray[np.float64]]
) -> npt.NDArray[np.float64]:
    """A reader that knows JSON and numpy alone."""
    document = json.loads(text)
    sources = {"x": x} | {f"n{i}": term for i, term in enumerate(noise)}
    for i, node in enumerate(document["nodes"]):
        state = sum(value * sources[name] for name, value in node["input"].items())
        sources[f"d{i}"] = _call(denoise, state, node)
    output: npt.NDArray[np.float64] = sum(
        value * sources[name] for name, value in document["output"].items()
    )
    return output


def _call(
    denoise: Denoiser, state: npt.NDArray[np.float64], node: dict[str, float]
) -> npt.NDArray[np.float64]:
    """The model behind the reader: the only part that knows torch."""
    keys = ("t", "alpha", "sigma", "network_time")
    level = [torch.full((len(state),), node[key], dtype=torch.float64) for key in keys]
    kind: Kind = node["kind"]  # type: ignore[assignment]
    result: npt.NDArray[np.float64] = denoise(
        torch.from_numpy(state), StackedLevel(*level), kind
    ).numpy()
    return result


@pytest.mark.parametrize("name", SOLVER_NAMES)
def test_a_reader_of_json_and_numpy_gives_the_same_samples(name: str) -> None:
    times = [0.9, 0.8, 0.6, 0.4, 0.2, 0.05, 0.0]
    program = trace(times, process=PROCESSES[0], solver=name)
    terms = noise_terms(program.noise_terms)
    expected = run(program, guided, start(), noise=terms).numpy()
    found = read_and_run(
        json.dumps(program.to_dict()), guided, start().numpy(), [term.numpy() for term in terms]
    )
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", STRAIGHT)
def test_a_constant_prediction_is_integrated_exactly(name: str) -> None:
    """The flow towards a single point is a straight line in v: every method must keep to it."""
    process, times = PROCESSES[0], [0.9, 0.8, 0.6, 0.4, 0.2, 0.05]
    point = torch.tensor([0.3, -0.7], dtype=torch.float64)
    program = trace(times, process=process, solver=name)
    x, top, bottom = start(), process.at(times[0]), process.at(times[-1])
    found = run(program, lambda x, at, kind="denoised": point.expand_as(x), x)
    exact = bottom.alpha * point + bottom.sigma / top.sigma * (x - top.alpha * point)
    torch.testing.assert_close(found, exact, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", WITH_MEMORY)
def test_fewer_steps_than_a_solver_combines_are_refused(name: str) -> None:
    solver = SOLVERS.get(name)
    times = [*np.linspace(0.9, 0.1, solver.memory - 1).tolist(), 0.0]
    with pytest.raises(InvalidInput, match=f"combines {solver.memory} predictions"):
        trace(times, process=PROCESSES[0], solver=name)


@pytest.mark.parametrize("name", SOLVER_NAMES)
def test_unknown_options_are_named(name: str) -> None:
    times = [*np.linspace(0.9, 0.1, 9).tolist(), 0.0]
    with pytest.raises(InvalidInput, match=r"options\.colour: no such option"):
        trace(times, process=PROCESSES[0], solver=name, options={"colour": "red"})


@pytest.mark.parametrize("name", SOLVER_NAMES)
def test_a_program_survives_json(name: str) -> None:
    program = trace([0.9, 0.8, 0.6, 0.4, 0.2, 0.05, 0.0], process=PROCESSES[0], solver=name)
    assert Program.from_dict(json.loads(json.dumps(program.to_dict()))) == program


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_coefficients_lost_to_half_precision_are_refused(dtype: torch.dtype) -> None:
    program = trace([1.0, 0.002, 0.001], process=PROCESSES[0], solver="ddim")
    tiny = Program(program.nodes, {**program.output, "x": 1e-45})
    with pytest.raises(InvalidInput, match="is lost in"):
        run(tiny, guided, start().to(dtype))
