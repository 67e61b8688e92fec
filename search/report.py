"""The report: the searched schedule beside every named grid, on noise that decided nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from evaluators.banks import Bank
from evaluators.price import Price
from evaluators.score import Ask, Score
from fewstep.request_chains import spends
from fewstep.solvers import SOLVERS
from fewstep.spacing import grid, named_grids
from search.strategy import Asking
from space.candidate import Candidate
from space.chains import ChainSpace
from space.timesteps import TimestepSpace

SEARCHED = "searched"
REFERENCE_SOLVER = "ddim"
REFERENCE_GRID = "leading"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRow:
    """One schedule on the report bank.

    Attributes:
        names: `searched`, or the grids that these times belong to.
        candidate: The schedule.
        fids: One distance per set; None where it failed.
        failure: Why, if it failed anywhere.
        fid: Mean over the sets.
        standard_error: Of the mean, over the sets.
        difference: Mean of this row minus the searched one, set by set on common noise.
        difference_error: Standard error of the difference.
    """

    names: tuple[str, ...]
    candidate: Candidate
    fids: tuple[float | None, ...]
    failure: str | None
    fid: float | None
    standard_error: float | None
    difference: float | None
    difference_error: float | None

    def to_dict(
        self, space: TimestepSpace, price: Price, *, cost_share: float | None = None
    ) -> dict[str, object]:
        """As plain JSON values, with what one image costs.

        Args:
            space: Of the searched times.
            price: Of images.
            cost_share: Of the full network's multiply-adds, where the network is pruned.
        """
        solver, options = SOLVERS.get(self.candidate.solver), dict(self.candidate.options)
        cost = price.cost(self.candidate)
        plan = self.candidate.chain_plan
        chains = {} if plan is None else {"chains": dict(plan.pairs())}
        return {
            "name": " = ".join(self.names),
            "names": list(self.names),
            "solver": self.candidate.solver,
            "options": self.candidate.canonical()["options"],
            **chains,
            "times": list(self.candidate.times),
            "indices": list(space.indices(self.candidate)),
            "nfe": solver.nfe_of_steps(self.candidate.steps, options)
            + (0 if plan is None else plan.num_skip),
            "network_calls": cost.passes,
            "gradient_calls": cost.gradients,
            "cost": price.per_image(self.candidate),
            **({} if cost_share is None else {"cost_share": cost_share}),
            "fids": list(self.fids),
            "failure": self.failure,
            "fid": self.fid,
            "standard_error": self.standard_error,
            "difference": self.difference,
            "difference_error": self.difference_error,
        }


def baselines(space: TimestepSpace, nfe: int) -> dict[str, Candidate]:
    """Every named grid with the space's solver, and uniform first-order sampling at equal calls.

    The solver has the request's fixed options, and its defaults where the search chooses. The
    first-order row is scored under the same guidance, which split solvers take apart.

    Where the search draws from chains, these do not: all calls are denoising, one less where the
    solver cannot spend them to the last.
    """
    grids = named_grids(space.process, _plain_steps(space, nfe))
    found = {
        name: Candidate(solver=space.solver, times=times, options=space.options)
        for name, times in sorted(grids.items())
    }
    if space.solver != REFERENCE_SOLVER:
        times = grid(REFERENCE_GRID, space.process, SOLVERS.get(REFERENCE_SOLVER).steps_of_nfe(nfe))
        found[f"{REFERENCE_GRID} ({REFERENCE_SOLVER})"] = Candidate(
            solver=REFERENCE_SOLVER, times=times
        )
    return found


def _plain_steps(space: TimestepSpace, nfe: int) -> int:
    """Steps of a grid without chains."""
    if not isinstance(space, ChainSpace):
        return space.steps
    options = dict(space.options)
    affordable = (calls for calls in range(nfe, 0, -1) if spends(space.entry, calls, options))
    calls = next(affordable)
    return space.steps if calls == space.nfe else space.entry.steps_of_nfe(calls, options)


def report(
    named: Mapping[str, Candidate], *, num_samples: int, sets: int
) -> Asking[list[ReportRow]]:
    """Score every schedule on every set of the report bank, and compare with the first.

    Args:
        named: Schedules by name, the searched one first. Equal ones are scored once and share a
            row, except that the first keeps its own.
        num_samples: Images per set.
        sets: How many disjoint sets; 2 or more give standard errors.
    """
    candidates = list(dict.fromkeys(named.values()))
    scores: dict[Candidate, list[Score]] = {candidate: [] for candidate in candidates}
    for set_index in range(sets):
        bank = Bank("report", set_index)
        answers = yield [Ask(candidate, bank, num_samples) for candidate in candidates]
        for candidate, score in zip(candidates, answers, strict=True):
            scores[candidate].append(score)
    first, *others = named
    groups: dict[Candidate, list[str]] = {}
    for name in others:
        groups.setdefault(named[name], []).append(name)
    searched = scores[named[first]]
    rows = [_row((first,), named[first], searched, searched)]
    rows += [_row(tuple(names), c, scores[c], searched) for c, names in groups.items()]
    return rows


def _row(
    names: tuple[str, ...], candidate: Candidate, scores: Sequence[Score], searched: Sequence[Score]
) -> ReportRow:
    """A row's statistics; a row that failed on any set has none."""
    fids = tuple(score.fid for score in scores)
    failures = [score.failure for score in scores if score.failure is not None]
    fid, error = mean_and_error(fids)
    difference, difference_error = mean_and_error(
        tuple(
            None if mine.fid is None or theirs.fid is None else mine.fid - theirs.fid
            for mine, theirs in zip(scores, searched, strict=True)
        )
    )
    return ReportRow(
        names=names,
        candidate=candidate,
        fids=fids,
        failure=failures[0] if failures else None,
        fid=fid,
        standard_error=error,
        difference=difference,
        difference_error=difference_error,
    )


def mean_and_error(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Mean over sets, and its standard error; None where a value is missing, or there is one."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None, None
    error = stdev(known) / math.sqrt(len(known)) if len(known) > 1 else None
    return fmean(known), error
