"""Programs executed on tensors: one program, or many in lockstep in the same forward passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fewstep.denoisers.base import Denoiser, StackedLevel
from fewstep.errors import InvalidInput
from fewstep.level import Level
from fewstep.process.base import Process
from fewstep.program import Program, Row, trace
from fewstep.solvers import SOLVERS, Kind, canonical_name


def sample(
    denoiser: Denoiser,
    x: Tensor,
    *,
    times: Sequence[float],
    process: Process,
    solver: str,
    noise: Sequence[Tensor] = (),
) -> Tensor:
    """Trace a solver on `times` and run the program.

    Args:
        denoiser: the model, see `fewstep.denoisers`.
        x: start states in process scale, shape (B, ...): unit normal noise for VP processes.
        times: K + 1 process times from noise to data.
        process: the noise process.
        solver: a registered name or alias.
        noise: the unit-normal terms of a stochastic solver, each shaped like `x`.

    Returns:
        The samples, shaped like `x`.

    Raises:
        InvalidInput: the times are no grid of the process, or noise terms are missing.
    """
    return run(trace(times, process=process, solver=solver), denoiser, x, noise=noise)


def run(program: Program, denoiser: Denoiser, x: Tensor, *, noise: Sequence[Tensor] = ()) -> Tensor:
    """Execute one program on a batch of start states of shape (B, ...)."""
    return run_stacked([program], [x.shape[0]], denoiser, x, noise=noise)


def run_stacked(
    programs: Sequence[Program],
    rows_per_program: Sequence[int],
    denoiser: Denoiser,
    x: Tensor,
    *,
    noise: Sequence[Tensor] = (),
) -> Tensor:
    """Execute several programs of equal shape in lockstep, each on its own rows of one batch.

    Args:
        programs: programs whose `shape` is the same.
        rows_per_program: how many consecutive rows of `x` belong to each; they add up to B.
        denoiser: called once per node, for all rows together.
        x: start states, shape (B, ...).
        noise: the unit-normal terms, each shaped like `x`.

    Raises:
        InvalidInput: shapes differ, rows do not add up, or noise terms are missing.
    """
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
        sources[f"d{position}"] = denoiser(state, at, nodes[0].kind)
    return spread.combine([program.output for program in programs], sources)


def run_eagerly(
    denoiser: Denoiser,
    x: Tensor,
    *,
    times: Sequence[float],
    process: Process,
    solver: str,
    noise: Callable[[], Tensor] | None = None,
) -> Tensor:
    """Run the solver itself on tensors, without a program: the check that both agree."""
    levels = [process.at(t) for t in times]
    function = SOLVERS.get(canonical_name(solver)).function
    evaluate = _TensorEvaluate(denoiser, process, x.shape[0], noise)
    if not levels[-1].is_clean:
        return function(evaluate, x, levels, process)
    return evaluate(function(evaluate, x, levels[:-1], process), levels[-2])


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
    missing = max(program.noise_terms for program in programs) - len(noise)
    if missing > 0:
        raise InvalidInput(f"noise: {missing} noise terms are missing", field="noise")
