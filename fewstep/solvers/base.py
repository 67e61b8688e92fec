"""What a solver is, and the register of all of them.

A solver only combines its state, denoised predictions and noise terms linearly, with coefficients
that depend on the grid alone. So the same function runs on tensors, or on symbols, which turns it
into a program (`fewstep.program`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self, TypeAlias, TypeVar

from fewstep.errors import InvalidInput, UnknownName
from fewstep.level import Level
from fewstep.process.base import Process
from fewstep.registry import Registry
from fewstep.solvers.options import Options, resolve_options

# What a model is asked for: `denoised` is the clean prediction as it is used (guided, clipped),
# `base` the same without guidance, `gradient` that of the guidance's log-likelihood with respect to
# the state, its scale included, `impute` the state with what is known put in.
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
    """Advance `x` along `levels` and return the state at the last of them.

    The levels are all noisy, and `trace` takes a last step to the clean level, unless the solver is
    registered with `handles_clean`.
    """

    def __call__(
        self,
        evaluate: Evaluate[S],
        x: S,
        levels: Sequence[Level],
        process: Process,
        *,
        options: Any,  # the dataclass the solver was registered with; `resolve_options` makes it
    ) -> S:
        """Each level is noisier than the next; `evaluate` is the model."""
        ...


# (steps of the grid, options) -> denoiser calls.
CountCalls: TypeAlias = Callable[[int, Any], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Solver:
    """A registered solver.

    Attributes:
        order: Order of convergence on smooth grids, with default options.
        calls_per_step: Denoiser calls of one step. The step to the clean level, which `trace`
            takes, is one call.
        memory: How many predictions a step at full order combines, those of earlier steps
            included; no grid may have fewer steps.
        options: The dataclass of its options.
        handles_clean: Whether it takes the step to the clean level itself.
        count_calls: Replaces the formula of `nfe_of_steps`, where calls depend on options.
        is_stochastic: Whether it draws noise terms.
        is_split: Whether it asks for `base` and `gradient` apart, and so needs guidance.
    """

    name: str
    function: SolverFunction
    order: int
    calls_per_step: int = 1
    memory: int = 1
    options: type[Options] = Options
    handles_clean: bool = False
    count_calls: CountCalls | None = None
    is_stochastic: bool = False
    is_split: bool = False

    def nfe_of_steps(self, steps: int, options: Mapping[str, object] | None = None) -> int:
        """Denoiser calls of a grid of `steps` steps that ends at the clean level."""
        if self.count_calls is not None:
            return self.count_calls(steps, resolve_options(self.options, options, steps=steps))
        if self.handles_clean:
            return self.calls_per_step * steps
        return self.calls_per_step * (steps - 1) + 1

    def steps_of_nfe(self, nfe: int, options: Mapping[str, object] | None = None) -> int:
        """Steps that cost exactly `nfe` denoiser calls.

        Raises:
            InvalidInput: no grid of this solver costs that many.
        """
        steps = max(1, (nfe - 1) // self.calls_per_step if self.count_calls is None else 1)
        while (calls := self.nfe_of_steps(steps, options)) < nfe:
            steps += 1
        if nfe < 1 or calls != nfe:
            raise InvalidInput(
                f"nfe={nfe}: no grid of {self.name} costs that; allowed: {self._examples(options)}",
                field="nfe",
            )
        self.check_steps(steps)
        return steps

    def check_steps(self, steps: int) -> None:
        """Refuse grids shorter than what the solver combines.

        Raises:
            InvalidInput: fewer steps than `memory`.
        """
        if steps < self.memory:
            raise InvalidInput(
                f"steps={steps}: {self.name} combines {self.memory} predictions; "
                f"allowed: {self.memory} steps and more",
                field="steps",
            )

    def _examples(self, options: Mapping[str, object] | None) -> str:
        first = range(self.memory, self.memory + 3)
        return ", ".join(str(self.nfe_of_steps(steps, options)) for steps in first) + ", ..."


SOLVERS: Registry[Solver] = Registry("solver")

# Different names of one method: first order in every picture is the same step.
ALIASES = {
    "deis-logrhoab0": "ddim",
    "deis-rhoab0": "ddim",
    "deis-rhork-geomid": "dpm-solver-2",
    "deis-rhork-heun": "heun",
    "deis-tab0": "ddim",
    "dpm-solver-1": "ddim",
    "euler": "ddim",
    "ipndm1": "ddim",
}


def register(
    name: str,
    *,
    order: int,
    calls_per_step: int = 1,
    memory: int = 1,
    options: type[Options] = Options,
    handles_clean: bool = False,
    count_calls: CountCalls | None = None,
    is_stochastic: bool = False,
    is_split: bool = False,
) -> Callable[[SolverFunction], SolverFunction]:
    """Register a solver function under `name`; see `Solver` for the rest."""

    def add(function: SolverFunction) -> SolverFunction:
        solver = Solver(
            name=name,
            function=function,
            order=order,
            calls_per_step=calls_per_step,
            memory=memory,
            options=options,
            handles_clean=handles_clean,
            count_calls=count_calls,
            is_stochastic=is_stochastic,
            is_split=is_split,
        )
        SOLVERS.register(name, solver)
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
