"""What a solver does on a given grid, as numbers that a reader in any language can repeat.

A program is a list of nodes. Each node says at which level the model is evaluated and which linear
combination of the start state `x`, earlier results `d0`, `d1`, ... and noise terms `n0`, ... is its
input; one more combination is the output. Coefficients are in expanded form, over `x` and results
only, because chained ones lose float32 accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from fewstep.errors import InvalidInput
from fewstep.level import Level
from fewstep.process.base import Process
from fewstep.solvers import SOLVERS, Evaluate, Kind, S, canonical_name
from fewstep.solvers.options import resolve_options

# Above the first a float32 run is off by a quarter and more, above the second it is flagged.
MAX_CONDITION = 100.0
HIGH_CONDITION = 30.0

Row = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Node:
    """One evaluation: its kind, level, what the network gets as time, and its input.

    `network` says which of several networks is evaluated, where an architecture has more than one.
    """

    kind: Kind
    level: Level
    network_time: float
    input: Row
    network: int = 0

    def to_dict(self) -> dict[str, object]:
        """As plain JSON values; the first network goes without saying."""
        values: dict[str, object] = {
            "kind": self.kind,
            "t": self.level.t,
            "alpha": self.level.alpha,
            "sigma": self.level.sigma,
            "network_time": self.network_time,
            "input": dict(self.input),
        }
        return values | ({"network": self.network} if self.network else {})


@dataclass(frozen=True)
class Program:
    """The nodes in order of execution, and the combination that is the sample."""

    nodes: tuple[Node, ...]
    output: Row
    noise_terms: int = 0

    @property
    def nfe(self) -> int:
        """Evaluations of the denoiser per sample, guided or not."""
        return sum(node.kind in ("denoised", "base") for node in self.nodes)

    @property
    def calls(self) -> dict[str, int]:
        """Evaluations per sample, by kind."""
        kinds = [node.kind for node in self.nodes]
        return {kind: kinds.count(kind) for kind in sorted(set(kinds))}

    @cached_property
    def condition(self) -> float:
        """Largest row sum of absolute coefficients: how much rounding errors can grow."""
        rows = [*(node.input for node in self.nodes), self.output]
        return max(math.fsum(abs(value) for value in row.values()) for row in rows)

    @property
    def shape(self) -> tuple[tuple[str, int], ...]:
        """Kind and network of each node; programs of equal shape can share forward passes."""
        return tuple((node.kind, node.network) for node in self.nodes)

    @property
    def is_split(self) -> bool:
        """Whether gradients are asked for apart from predictions."""
        return any(node.kind == "gradient" for node in self.nodes)

    def with_networks(self, times: Sequence[float], of_step: Sequence[int]) -> Program:
        """The same program with a network for every node: that of the step its time lies in.

        Step k takes the nodes from its own time `times[k]` down to, but without, `times[k + 1]`.

        Args:
            times: the K + 1 times it was traced on.
            of_step: K numbers of networks.

        Raises:
            InvalidInput: not one number a step.
        """
        if len(of_step) != len(times) - 1:
            raise InvalidInput(
                f"of_step: {len(of_step)} networks for {len(times) - 1} steps; allowed: one a step",
                field="of_step",
            )
        steps = [max(0, sum(t >= node.level.t for t in times[:-1]) - 1) for node in self.nodes]
        nodes = zip(self.nodes, steps, strict=True)
        return replace(
            self, nodes=tuple(replace(node, network=of_step[step]) for node, step in nodes)
        )

    def to_dict(self) -> dict[str, object]:
        """As plain JSON values; floats keep all their digits."""
        return {
            "nodes": [node.to_dict() for node in self.nodes],
            "output": dict(self.output),
            "noise_terms": self.noise_terms,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, object]) -> Program:
        """Read what `to_dict` wrote.

        Raises:
            InvalidInput: a part is missing, of the wrong kind, not finite, or refers to a result
                that does not exist yet.
        """
        try:
            raw_nodes = document["nodes"]
            noise_terms = document.get("noise_terms", 0)
            if not isinstance(raw_nodes, Sequence) or not isinstance(noise_terms, int):
                raise TypeError("nodes must be a list, noise_terms a number")
            nodes = tuple(
                _read_node(raw, position, noise_terms) for position, raw in enumerate(raw_nodes)
            )
            output = _read_row(document["output"], len(nodes), noise_terms)
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput(f"program: {error}", field="program") from error
        return cls(nodes=nodes, output=output, noise_terms=noise_terms)


def trace(
    times: Sequence[float],
    *,
    process: Process,
    solver: str,
    options: Mapping[str, object] | None = None,
) -> Program:
    """Run a solver on symbols and write down what it does.

    Args:
        times: K + 1 process times from noise to data, both ends included, strictly decreasing.
            A last time of 0 is the clean level: that step returns the denoised prediction of the
            level before it, unless the solver takes it its own way.
        process: the noise process.
        solver: a registered name or alias.
        options: the solver's options by name, see `fewstep.solvers.options`.

    Raises:
        InvalidInput: the times are not such a grid, an option is not allowed, the solver combines
            more predictions than there are steps, or the coefficients are not finite.
        UnknownName: no such solver.
    """
    check_times(times, process=process)
    recorder = _Recorder(process)
    start = Expression({"x": 1.0})
    x = advance(recorder, start, times, process=process, solver=solver, options=options)
    program = Program(tuple(recorder.nodes), x.row(), recorder.noise_terms)
    if not math.isfinite(program.condition):
        raise InvalidInput(f"times={list(times)}: coefficients are not finite", field="times")
    return program


def advance(
    evaluate: Evaluate[S],
    x: S,
    times: Sequence[float],
    *,
    process: Process,
    solver: str,
    options: Mapping[str, object] | None = None,
) -> S:
    """Take `x` along checked times with a solver; arguments and errors as for `trace`."""
    entry = SOLVERS.get(canonical_name(solver))
    steps = len(times) - 1
    entry.check_steps(steps)
    resolved = resolve_options(entry.options, options, steps=steps)
    levels = [process.at(t) for t in times]
    if entry.handles_clean or not levels[-1].is_clean:
        return entry.function(evaluate, x, levels, process, options=resolved)
    x = entry.function(evaluate, x, levels[:-1], process, options=resolved)
    return evaluate(x, levels[-2])


def check_times(times: Sequence[float], *, process: Process) -> None:
    """Refuse what is no grid of the process: `trace` calls this first.

    Raises:
        InvalidInput: names the first offending position, its value, and what is allowed.
    """
    if len(times) < 2:
        raise InvalidInput(
            f"times: {len(times)} of them; allowed: 2 or more, from noise to data", field="times"
        )
    for i, t in enumerate(times):
        if not (math.isfinite(t) and 0.0 <= t <= process.t_max):
            raise InvalidInput(
                f"times[{i}]={t!r}: outside the process; allowed: 0 to {process.t_max}",
                field=f"times[{i}]",
            )
        if i and t >= times[i - 1]:
            raise InvalidInput(
                f"times[{i}]={t!r} >= times[{i - 1}]={times[i - 1]!r}: must strictly decrease, "
                "from noise to data",
                field=f"times[{i}]",
            )


class Expression:
    """A linear combination of named sources; what a state is while a solver is traced."""

    __slots__ = ("terms",)

    def __init__(self, terms: Mapping[str, float]) -> None:
        self.terms = dict(terms)

    def __add__(self, other: Expression) -> Expression:
        terms = dict(self.terms)
        for source, value in other.terms.items():
            terms[source] = terms.get(source, 0.0) + value
        return Expression(terms)

    def __sub__(self, other: Expression) -> Expression:
        return self + other * -1.0

    def __mul__(self, factor: float) -> Expression:
        return Expression({source: value * factor for source, value in self.terms.items()})

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Expression:
        return Expression({source: value / divisor for source, value in self.terms.items()})

    def row(self) -> dict[str, float]:
        """The non-zero coefficients."""
        return {source: value for source, value in self.terms.items() if value != 0.0}


class _Recorder:
    """The `Evaluate` that writes nodes instead of calling a model."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.nodes: list[Node] = []
        self.noise_terms = 0

    def __call__(self, x: Expression, at: Level, kind: Kind = "denoised") -> Expression:
        self.nodes.append(Node(kind, at, self._process.network_time(at.t), x.row()))
        return Expression({f"d{len(self.nodes) - 1}": 1.0})

    def noise(self) -> Expression:
        self.noise_terms += 1
        return Expression({f"n{self.noise_terms - 1}": 1.0})


def _read_node(raw: object, position: int, noise_terms: int) -> Node:
    if not isinstance(raw, Mapping):
        raise TypeError(f"nodes[{position}] must be an object")
    kind = raw["kind"]
    if kind not in ("denoised", "base", "gradient", "impute"):
        raise ValueError(f"nodes[{position}].kind={kind!r} is unknown")
    level = Level(*(_finite(raw[key], f"nodes[{position}].{key}") for key in _LEVEL_KEYS))
    network_time = _finite(raw["network_time"], f"nodes[{position}].network_time")
    network = raw.get("network", 0)
    if type(network) is not int or network < 0:
        raise ValueError(f"nodes[{position}].network={network!r} is no number of a network")
    row = _read_row(raw["input"], position, noise_terms)
    return Node(kind, level, network_time, row, network)


_LEVEL_KEYS = ("t", "alpha", "sigma")


def _read_row(raw: object, num_results: int, noise_terms: int) -> dict[str, float]:
    """A combination that may use `x`, the first `num_results` results and the noise terms."""
    if not isinstance(raw, Mapping):
        raise TypeError("a combination must be an object")
    known = {"x", *(f"d{i}" for i in range(num_results)), *(f"n{i}" for i in range(noise_terms))}
    for source in raw:
        if source not in known:
            raise ValueError(f"source {source!r} does not exist there")
    return {source: _finite(value, f"coefficient of {source}") for source, value in raw.items()}


def _finite(value: object, label: str) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):  # type: ignore[arg-type]
        raise ValueError(f"{label}={value!r} is no finite number")
    return float(value)  # type: ignore[arg-type]
