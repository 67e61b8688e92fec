"""Programs executed on tensors: one program, or many in lockstep in the same forward passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fewstep.denoisers.base import Denoiser, StackedLevel
from fewstep.errors import InvalidInput
from fewstep.level import Level
from fewstep.process.base import Process
from fewstep.program import Program, Row, advance, check_times, trace
from fewstep.solvers import Kind

# Share of the states to which rounding errors may grow in half precision.
MAX_RELATIVE_ERROR = 0.1


def sample(
    denoiser: Denoiser,
    x: Tensor,
    *,
    times: Sequence[float],
    process: Process,
    solver: str,
    options: Mapping[str, object] | None = None,
    noise: Sequence[Tensor] = (),
) -> Tensor:
    """Trace a solver on `times` and run the program.

    Args:
        denoiser: the model, see `fewstep.denoisers`.
        x: start states in process scale, shape (B, ...): unit normal noise for VP processes.
        times: K + 1 process times from noise to data.
        process: the noise process.
        solver: a registered name or alias.
        options: the solver's options by name.
        noise: the unit-normal terms of a stochastic solver, each shaped like `x`.

    Returns:
        The samples, shaped like `x`.

    Raises:
        InvalidInput: the times are no grid of the process, an option is not allowed, noise terms
            are missing, or the coefficients do not survive in the type of `x`.
    """
    program = trace(times, process=process, solver=solver, options=options)
    return run(program, denoiser, x, noise=noise)


def run(
    program: Program,
    denoiser: Denoiser | Sequence[Denoiser],
    x: Tensor,
    *,
    noise: Sequence[Tensor] = (),
) -> Tensor:
    """Execute one program on a batch of start states of shape (B, ...).

    Args:
        program: what to execute.
        denoiser: the model; or one for each network that the program's nodes name.
        x: start states.
        noise: the unit-normal terms, each shaped like `x`.

    Raises:
        InvalidInput: noise terms are missing, coefficients do not survive in the type of `x`, or a
            node names a network that there is no denoiser for.
    """
    denoisers = _denoisers([program], denoiser)
    check_precision(program, x.dtype)
    _check_noise([program], noise)
    sources: dict[str, Tensor] = {"x": x} | {f"n{i}": term for i, term in enumerate(noise)}
    for position, node in enumerate(program.nodes):
        at = StackedLevel.of(node.level, node.network_time, x.shape[0], x.device)
        state = _combine(node.input, sources, x)
        sources[f"d{position}"] = denoisers[node.network](state, at, node.kind)
    return _combine(program.output, sources, x)


def check_precision(program: Program, dtype: torch.dtype) -> None:
    """Refuse to run a program in a number type in which its coefficients are lost.

    Raises:
        InvalidInput: a coefficient becomes zero or infinite there, or rounding errors could grow
            to a tenth of the states.
    """
    if dtype in (torch.float32, torch.float64):
        return
    limits = torch.finfo(dtype)
    rows = [*(node.input for node in program.nodes), program.output]
    for source, value in (item for row in rows for item in row.items()):
        if not limits.smallest_normal <= abs(value) <= limits.max:
            raise InvalidInput(
                f"x: the coefficient {value:.4g} of {source} is lost in {dtype}; allowed: states "
                "in float32 or float64 (the network may still run in less)",
                field="x",
            )
    if program.condition * limits.eps > MAX_RELATIVE_ERROR:
        raise InvalidInput(
            f"x: condition {program.condition:.4g} of the program is too large for {dtype}; "
            "allowed: states in float32 or float64 (the network may still run in less)",
            field="x",
        )


def run_stacked(
    programs: Sequence[Program],
    rows_per_program: Sequence[int],
    denoiser: Denoiser | Sequence[Denoiser],
    x: Tensor,
    *,
    noise: Sequence[Tensor] = (),
) -> Tensor:
    """Execute several programs of equal shape in lockstep, each on its own rows of one batch.

    Args:
        programs: programs whose `shape` is the same.
        rows_per_program: how many consecutive rows of `x` belong to each; they add up to B.
        denoiser: called once per node, for all rows together; or one for each network.
        x: start states, shape (B, ...).
        noise: the unit-normal terms, each shaped like `x`.

    Raises:
        InvalidInput: shapes differ, rows do not add up, noise terms are missing, or a node names a
            network that there is no denoiser for.
    """
    denoisers = _denoisers(programs, denoiser)
    _check_stack(programs, rows_per_program, x, noise)
    spread = _Spread(rows_per_program, x)
    sources: dict[str, Tensor] = {"x": x} | {f"n{i}": term for i, term in enumerate(noise)}
    for position, nodes in enumerate(zip(*(program.nodes for program in programs), strict=True)):
        state = spread.combine([node.input for node in nodes], sources)
        at = StackedLevel(
            t=spread.rows([node.level.t for node in nodes]),
            alpha=spread.rows([node.level.alpha for node in nodes]),
            sigma=spread.rows([node.level.sigma for node in nodes]),
            network_time=spread.rows([node.network_time for node in nodes]),
        )
        sources[f"d{position}"] = denoisers[nodes[0].network](state, at, nodes[0].kind)
    return spread.combine([program.output for program in programs], sources)


def run_eagerly(
    denoiser: Denoiser,
    x: Tensor,
    *,
    times: Sequence[float],
    process: Process,
    solver: str,
    options: Mapping[str, object] | None = None,
    noise: Callable[[], Tensor] | None = None,
) -> Tensor:
    """Run the solver itself on tensors, without a program: the check that both agree."""
    check_times(times, process=process)
    evaluate = _TensorEvaluate(denoiser, process, x.shape[0], noise)
    return advance(evaluate, x, times, process=process, solver=solver, options=options)


@dataclass(frozen=True, slots=True)
class _TensorEvaluate:
    """The `Evaluate` over tensors."""

    denoiser: Denoiser
    process: Process
    batch: int
    noise_source: Callable[[], Tensor] | None

    def __call__(self, x: Tensor, at: Level, kind: Kind = "denoised") -> Tensor:
        network_time = self.process.network_time(at.t)
        return self.denoiser(x, StackedLevel.of(at, network_time, self.batch, x.device), kind)

    def noise(self) -> Tensor:
        if self.noise_source is None:
            raise InvalidInput("noise: a stochastic solver needs its noise terms", field="noise")
        return self.noise_source()


class _Spread:
    """Spreads one number per program over that program's rows."""

    def __init__(self, rows_per_program: Sequence[int], x: Tensor) -> None:
        self._counts = torch.tensor(list(rows_per_program))
        self._x = x
        self._trailing = (1,) * (x.dim() - 1)

    def rows(self, values: Sequence[float]) -> Tensor:
        """Shape (B,), float64, on the state's device."""
        column = torch.tensor(list(values), dtype=torch.float64)
        return column.repeat_interleave(self._counts).to(self._x.device)

    def combine(self, rows: Sequence[Row], sources: dict[str, Tensor]) -> Tensor:
        """Sum of coefficient times source, over all sources any of the rows names."""
        total: Tensor | None = None
        for name, tensor in sources.items():
            values = [row.get(name, 0.0) for row in rows]
            if not any(values):
                continue
            factor = self.rows(values).to(self._x.dtype).view(-1, *self._trailing)
            total = factor * tensor if total is None else total + factor * tensor
        return torch.zeros_like(self._x) if total is None else total


def _denoisers(
    programs: Sequence[Program], given: Denoiser | Sequence[Denoiser]
) -> Sequence[Denoiser]:
    """One denoiser per network."""
    denoisers = given if isinstance(given, Sequence) else [given]
    last = max((node.network for program in programs for node in program.nodes), default=0)
    if last >= len(denoisers):
        raise InvalidInput(
            f"program: a node runs network {last}, {len(denoisers)} given; allowed: a denoiser for "
            "each network of the schedule's architecture",
            field="program",
        )
    return denoisers


def _check_stack(
    programs: Sequence[Program],
    rows_per_program: Sequence[int],
    x: Tensor,
    noise: Sequence[Tensor],
) -> None:
    if len({program.shape for program in programs}) != 1:
        raise InvalidInput(
            "programs: they differ in their nodes; allowed: one or more of equal shape",
            field="programs",
        )
    if len(rows_per_program) != len(programs) or sum(rows_per_program) != x.shape[0]:
        raise InvalidInput(
            f"rows_per_program={list(rows_per_program)}: must give one count for each of "
            f"{len(programs)} programs and add up to the batch of {x.shape[0]}",
            field="rows_per_program",
        )
    for program in programs:
        check_precision(program, x.dtype)
    _check_noise(programs, noise)


def _combine(row: Row, sources: Mapping[str, Tensor], like: Tensor) -> Tensor:
    """Sum of coefficient times source, in two buffers.

    Rounds each product, as `run_stacked` does: a fused multiply-add would be faster by a third, but
    what is scored in stacks could then differ in its last bits from what is sampled here.
    """
    (first, factor), *others = row.items() or [("", 0.0)]
    if not first:
        return torch.zeros_like(like)
    total = sources[first] * factor
    term = torch.empty_like(total) if others else total
    for source, value in others:
        total.add_(torch.mul(sources[source], value, out=term))
    return total


def _check_noise(programs: Sequence[Program], noise: Sequence[Tensor]) -> None:
    missing = max(program.noise_terms for program in programs) - len(noise)
    if missing > 0:
        raise InvalidInput(f"noise: {missing} noise terms are missing", field="noise")
