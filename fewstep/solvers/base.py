"""What a solver is, and the register of all of them.

A solver only combines its state, denoised predictions and noise terms linearly, with coefficients
that depend on the grid alone. So the same function runs on tensors, or on symbols, which turns it
into a program (`fewstep.program`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, Self, TypeAlias, TypeVar

from fewstep.errors import InvalidInput, UnknownName
from fewstep.level import Level
from fewstep.process.base import Process
from fewstep.registry import Registry

Kind: TypeAlias = Literal["denoised", "base", "gradient", "impute"]


class Linear(Protocol):
    """What a solver may do with a state: add, subtract, scale by a Python float."""

    def __add__(self, other: Self, /) -> Self: ...
    def __sub__(self, other: Self, /) -> Self: ...
    def __mul__(self, factor: float, /) -> Self: ...
    def __rmul__(self, factor: float, /) -> Self: ...
    def __truediv__(self, divisor: float, /) -> Self: ...


S = TypeVar("S", bound=Linear)


class Evaluate(Protocol[S]):
    """The model as a solver sees it."""

    def __call__(self, x: S, at: Level, kind: Kind = "denoised") -> S:
        """The prediction of `kind` for state `x` (in process scale) at a level."""
        ...

    def noise(self) -> S:
        """The next named unit-normal term."""
        ...


class SolverFunction(Protocol):
    """Advance `x` along `levels`, all noisy, and return the state at the last of them."""

    def __call__(self, evaluate: Evaluate[S], x: S, levels: Sequence[Level], process: Process) -> S:
        """Each level is noisier than the next; `evaluate` is the model."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Solver:
    """A registered solver.

    `calls_per_step` counts denoiser calls of one step; the step to the clean level, which `trace`
    takes, is one call for every solver.
    """

    name: str
    function: SolverFunction
    order: int
    calls_per_step: int = 1

    def nfe_of_steps(self, steps: int) -> int:
        """Denoiser calls of a grid of `steps` steps that ends at the clean level."""
        return self.calls_per_step * (steps - 1) + 1

    def steps_of_nfe(self, nfe: int) -> int:
        """Steps that cost exactly `nfe` denoiser calls.

        Raises:
            InvalidInput: no grid of this solver costs that many.
        """
        steps, rest = divmod(nfe - 1, self.calls_per_step)
        if nfe < 1 or rest:
            raise InvalidInput(
                f"nfe={nfe}: {self.name} costs {self.calls_per_step} calls a step and one for the "
                f"last; allowed: 1, {1 + self.calls_per_step}, {1 + 2 * self.calls_per_step}, ...",
                field="nfe",
            )
        return steps + 1


SOLVERS: Registry[Solver] = Registry("solver")

# Different names of one method: first order in every picture is the same step.
ALIASES = {"dpm-solver-1": "ddim", "euler": "ddim"}


def register(
    name: str, *, order: int, calls_per_step: int = 1
) -> Callable[[SolverFunction], SolverFunction]:
    """Register a solver function under `name`."""

    def add(function: SolverFunction) -> SolverFunction:
        SOLVERS.register(
            name, Solver(name=name, function=function, order=order, calls_per_step=calls_per_step)
        )
        return function

    return add


def canonical_name(name: str) -> str:
    """The one name under which a method's candidates and scores are stored.

    Raises:
        UnknownName: no solver and no alias is called so.
    """
    target = ALIASES.get(name, name)
    if target not in SOLVERS:
        raise UnknownName(
            f"solver={name!r}: no such solver; allowed: {', '.join(solver_names())}", field="solver"
        )
    return target


def solver_names() -> list[str]:
    """Every name a request may use, aliases included, sorted."""
    return sorted([*SOLVERS.names(), *ALIASES])
