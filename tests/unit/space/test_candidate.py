"""Candidates: one identity for all spellings of a schedule."""

from __future__ import annotations

from itertools import permutations

import pytest

from fewstep.errors import InvalidInput, UnknownName
from fewstep.process import VPDiscrete
from space.candidate import Candidate
from space.repair import repair
from space.timesteps import TimestepSpace

TIMES = (0.7, 0.5, 0.2, 0.0)


def test_aliases_of_a_solver_are_one_candidate() -> None:
    keys = {Candidate(solver=name, times=TIMES).key for name in ("ddim", "euler", "dpm-solver-1")}
    assert len(keys) == 1


def test_different_solvers_are_different_candidates() -> None:
    first, second = (Candidate(solver=s, times=TIMES) for s in ("ddim", "dpm-solver++-2m"))
    assert first.key != second.key


def test_defaults_spelled_out_do_not_matter() -> None:
    first = Candidate(solver="ddpm", times=TIMES, options=(("eta", 1.0),))
    assert first == Candidate(solver="ddpm", times=TIMES)
    assert first.key != Candidate(solver="ddpm", times=TIMES, options=(("eta", 0.5),)).key


def test_an_option_the_solver_lacks_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"options\.eta: no such option"):
        Candidate(solver="ddim", times=TIMES, options=(("eta", 1.0),))


def test_all_orders_of_one_set_of_indices_have_one_key() -> None:
    space = TimestepSpace(VPDiscrete.linear(), "ddim", 4)
    keys = {space.candidate(repair(p, space)).key for p in permutations((657, 514, 258, 18))}
    assert len(keys) == 1


def test_the_canonical_form_reads_back_as_the_same_candidate() -> None:
    candidate = Candidate(solver="ddpm", times=TIMES, options=(("eta", 0.5),))
    again = Candidate.from_dict(candidate.canonical())
    assert again == candidate
    assert again.key == candidate.key


@pytest.mark.parametrize(
    ("times", "field"),
    [
        ((0.5,), "times"),
        ((0.5, 0.5, 0.0), "times[1]"),
        ((0.5, 0.6, 0.0), "times[1]"),
        ((0.5, 0.1), "times[1]"),
        ((float("nan"), 0.0), "times[0]"),
        ((float("inf"), 0.0), "times[0]"),
        ((0.5, -0.1), "times[1]"),
        ((True, 0.0), "times[0]"),
        (("1", 0.0), "times[0]"),
    ],
)
def test_bad_times_are_named_with_their_value(times: tuple[float, ...], field: str) -> None:
    with pytest.raises(InvalidInput, match=r"times") as caught:
        Candidate(solver="ddim", times=times)
    assert caught.value.field == field


def test_an_unknown_solver_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="dpm-solver"):
        Candidate(solver="dmid", times=TIMES)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"solver": "ddim"}, "times"),
        ({"times": [1.0, 0.0]}, "solver"),
        ({"solver": "ddim", "times": [1.0, 0.0], "sigma": 1}, "sigma"),
        ({"solver": "ddim", "times": "1.0"}, "times"),
        ({"solver": "ddim", "times": [1.0, 0.0], "options": [1]}, "options"),
        ({"solver": "ddim", "times": [1.0, 0.0], "options": {"a": None}}, "options.a"),
        ({"solver": "ddim", "times": [1.0, 0.0], "architecture": {}}, "architecture"),
    ],
)
def test_a_stored_candidate_with_wrong_fields_is_refused(
    values: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        Candidate.from_dict(values)
    assert caught.value.field == field
