"""A candidate in canonical form: the one identity under which a schedule is scored and stored."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from fewstep.canonical import content_hash
from fewstep.errors import InvalidInput
from fewstep.mcmc.plan import ChainPlan, PlanValue
from fewstep.networks.pruning.architecture import Architecture
from fewstep.solvers import SOLVERS, canonical_name
from fewstep.solvers.options import OptionValue, changed_options, resolve_options


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What is searched over: solver, times, solver options, architecture.

    Aliases of a solver, the order of options and whether defaults are spelled out do not matter:
    equal schedules compare equal and have one `key`.

    Attributes:
        solver: Canonical solver name (aliases are resolved on construction).
        times: K+1 process times from noise to data, strictly decreasing, ending at 0.0.
        options: Solver options as (name, value) pairs. On construction they are checked, per-step
            ones expanded to one value a step, defaults dropped, and all sorted by name.
        architecture: Which pruned networks run at its steps; the full network is None.
        chains: What `ChainPlan` says as (name, value) pairs, for images drawn from chains; the
            times are then those of a chain at the nominal start. Empty for all other candidates.

    Raises:
        InvalidInput: times that do not strictly decrease to 0.0; an unknown solver; an option that
            the solver does not have, or a value it does not allow.
    """

    solver: str
    times: tuple[float, ...]
    options: tuple[tuple[str, OptionValue], ...] = ()
    architecture: Architecture | None = None
    chains: tuple[tuple[str, PlanValue], ...] = ()

    def __post_init__(self) -> None:
        _check_times(self.times)
        object.__setattr__(self, "solver", canonical_name(self.solver))
        object.__setattr__(self, "times", tuple(float(t) for t in self.times))
        kind = SOLVERS.get(self.solver).options
        resolved = resolve_options(kind, dict(self.options), steps=self.steps)
        object.__setattr__(self, "options", tuple(sorted(changed_options(resolved).items())))
        if (plan := self.chain_plan) is not None:
            object.__setattr__(self, "chains", plan.pairs())
        if self.architecture is not None:
            _check_architecture(self.architecture, self)

    @property
    def steps(self) -> int:
        """K, the number of steps (one less than the number of times)."""
        return len(self.times) - 1

    @property
    def chain_plan(self) -> ChainPlan | None:
        """How its images are drawn from chains; None where they are not."""
        return ChainPlan.from_dict(dict(self.chains)) if self.chains else None

    def canonical(self) -> dict[str, object]:
        """Plain JSON values, the same for all spellings of one candidate."""
        values: dict[str, object] = {
            "solver": self.solver,
            "times": list(self.times),
            "options": {name: _plain(value) for name, value in self.options},
            "architecture": None if self.architecture is None else self.architecture.to_dict(),
        }
        return values | ({"chains": dict(self.chains)} if self.chains else {})

    @property
    def key(self) -> str:
        """SHA-256 of the canonical form."""
        return content_hash(self.canonical())

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Candidate:
        """Read what `canonical` wrote.

        Raises:
            InvalidInput: a missing or unknown field, or a value that is not allowed.
        """
        _check_fields(values)
        times, options = values["times"], values.get("options", {})
        chains = values.get("chains", {})
        if not isinstance(times, list | tuple) or not isinstance(options, Mapping):
            raise InvalidInput(
                f"candidate: times={times!r}, options={options!r}: "
                "times must be a list of numbers, options a mapping",
                field="times" if isinstance(options, Mapping) else "options",
            )
        if not isinstance(chains, Mapping):
            raise InvalidInput(f"chains={chains!r}: must be a mapping", field="chains")
        architecture = values.get("architecture")
        return cls(
            solver=str(values["solver"]),
            times=tuple(times),
            options=tuple(options.items()),
            architecture=None if architecture is None else Architecture.from_dict(architecture),
            chains=tuple(chains.items()),
        )


def _check_architecture(architecture: Architecture, candidate: Candidate) -> None:
    if len(architecture.of_step) != candidate.steps:
        raise InvalidInput(
            f"architecture.of_step: {len(architecture.of_step)} entries for {candidate.steps} "
            "steps; allowed: one a step",
            field="architecture",
        )
    if candidate.chains:
        raise InvalidInput(
            "architecture: chains start at levels of their own; allowed: null with chains",
            field="architecture",
        )


def _check_times(times: tuple[object, ...]) -> None:
    """Hold times against: at least two numbers, strictly decreasing, the last one 0.0."""
    if len(times) < 2:
        raise InvalidInput(f"times={times!r}: at least 2 are needed, the last 0.0", field="times")
    numbers: list[float] = []
    for i, t in enumerate(times):
        if isinstance(t, bool) or not isinstance(t, int | float) or not 0.0 <= t < math.inf:
            raise InvalidInput(
                f"times[{i}]={t!r}: must be a finite number of at least 0", field=f"times[{i}]"
            )
        numbers.append(t)
    for i, (s, t) in enumerate(pairwise(numbers)):
        if not s > t:
            raise InvalidInput(
                f"times[{i + 1}]={t!r} >= times[{i}]={s!r}: must strictly decrease",
                field=f"times[{i + 1}]",
            )
    if times[-1] != 0.0:
        raise InvalidInput(
            f"times[{len(times) - 1}]={times[-1]!r}: the last time must be 0.0 (clean)",
            field=f"times[{len(times) - 1}]",
        )


def _check_fields(values: Mapping[str, object]) -> None:
    """Hold the field names of a stored candidate against those there are."""
    allowed = ("solver", "times", "options", "architecture", "chains")
    for name in values:
        if name not in allowed:
            raise InvalidInput(
                f"candidate: unknown field {name!r}; allowed: {', '.join(allowed)}", field=name
            )
    for name in ("solver", "times"):
        if name not in values:
            raise InvalidInput(f"candidate: field {name!r} is missing", field=name)


def _plain(value: OptionValue) -> object:
    """Tuples as JSON lists, everything else as it is."""
    return list(value) if isinstance(value, tuple) else value
