"""The parts of a request that depend on its solver: options, searched ones, steps and calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from fewstep.errors import InvalidInput
from fewstep.solvers import SOLVERS, Solver, canonical_name
from fewstep.solvers.options import option_specs, resolve_options


def solver_of(name: object) -> Solver:
    """The solver of that name.

    Raises:
        InvalidInput, UnknownName: no name, or none of ours.
    """
    if not isinstance(name, str):
        raise InvalidInput(f"solver={name!r}: must be a name", field="solver")
    return SOLVERS.get(canonical_name(name), field="solver")


def count_steps(solver: Solver, counts: Mapping[str, int], options: object) -> dict[str, int]:
    """Both counts, `nfe` and `steps`, from what was given of them, and the options checked.

    Raises:
        InvalidInput: no grid costs that, both are given and disagree, or an option is wrong; names
            it as `solver_options.NAME` or `solver_options.NAME[i]`.
    """
    given = options if isinstance(options, Mapping) else None  # other types are refused later
    with named_as_request_fields():
        steps = counts.get("steps") or steps_for(solver, counts["nfe"], given)
        solver.check_steps(steps)
        resolve_options(solver.options, given, steps=steps)
        nfe = solver.nfe_of_steps(steps, given)
    if counts.get("nfe", nfe) != nfe:
        right = steps_for(solver, counts["nfe"], given)
        raise InvalidInput(
            f"steps={steps}: {solver.name} takes {right} steps for nfe={counts['nfe']}; give one "
            "of the two",
            field="steps",
        )
    return {"nfe": nfe, "steps": steps}


def steps_for(solver: Solver, nfe: int, options: Mapping[str, object] | None) -> int:
    """Steps that cost `nfe` calls; a list with a value for each step says how many there are."""
    specs = option_specs(solver.options)
    for name, value in (options or {}).items():
        if solver.count_calls is None or not isinstance(value, list) or name not in specs:
            continue
        if len(value) > 0 and solver.nfe_of_steps(len(value), options) == nfe:
            return len(value)
        raise InvalidInput(
            f"options.{name}: a grid of {len(value)} steps with these values does not take "
            f"nfe={nfe} calls; allowed: values that do, one for each step",
            field=f"options.{name}",
        )
    return solver.steps_of_nfe(nfe, options)


def check_searched(solver: Solver, names: Sequence[str], fixed: Mapping[str, object]) -> None:
    """Hold the options that a search chooses against those that can be searched.

    Raises:
        InvalidInput: names the position in the list.
    """
    specs = option_specs(solver.options)
    searchable = [name for name, spec in specs.items() if spec.genes]
    for i, name in enumerate(names):
        field = f"search_options[{i}]"
        if name not in searchable:
            allowed = ", ".join(searchable) or f"none, {solver.name} has no option to search"
            raise InvalidInput(f"{field}={name!r}: allowed: {allowed}", field=field)
        if name in names[:i]:
            raise InvalidInput(f"{field}={name!r}: named twice; allowed: once", field=field)
        if name in fixed:
            raise InvalidInput(
                f"{field}={name!r}: solver_options fixes it; allowed: one of the two", field=field
            )


@contextmanager
def named_as_request_fields() -> Iterator[None]:
    """Errors of `options.NAME` under the name that the request's field has."""
    try:
        yield
    except InvalidInput as error:
        if error.field is None or not error.field.startswith("options."):
            raise
        raise InvalidInput(
            error.message.replace("options.", "solver_options.", 1),
            field=f"solver_{error.field}",
        ) from None
