"""Schedule documents: round trip, published schema, and every disagreement refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewstep.errors import InvalidInput
from fewstep.process import VPDiscrete
from fewstep.running import sample
from fewstep.schedule import ModelSection, Schedule, json_schema
from fewstep.solvers import SOLVERS
from tests.mixture import MixtureDenoiser

PROCESS = VPDiscrete.linear()
MODEL = ModelSection(
    name="zoo:digits",
    prediction="noise",
    checkpoint_sha256="0" * 64,
    image_shape=(1, 8, 8),
    process=PROCESS.describe(),
)


def _schedule(indices: tuple[int, ...] = (657, 514, 258, 18)) -> Schedule:
    times = [*(PROCESS.time_of(index) for index in indices), 0.0]
    return Schedule.build(times, model=MODEL, solver="dpm-solver++-2m")


@given(
    st.sets(st.integers(0, 999), min_size=5, max_size=20), st.sampled_from(sorted(SOLVERS.names()))
)
@settings(max_examples=50)
def test_writing_and_reading_gives_the_same_document(indices: set[int], solver: str) -> None:
    times = [*(PROCESS.time_of(index) for index in sorted(indices, reverse=True)), 0.0]
    schedule = Schedule.build(times, model=MODEL, solver=solver)
    assert Schedule.from_json(schedule.to_json()) == schedule


def test_documents_obey_the_published_schema() -> None:
    jsonschema.validate(_schedule().to_dict(), json_schema())


def test_the_schema_refuses_a_missing_part() -> None:
    document = _schedule().to_dict()
    del document["points"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, json_schema())


def test_sampling_with_a_document_is_sampling_with_its_grid() -> None:
    schedule = _schedule()
    x = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    direct = sample(
        MixtureDenoiser(), x, times=schedule.times, process=PROCESS, solver=schedule.solver.name
    )
    assert torch.equal(schedule.sample(MixtureDenoiser(), x), direct)


def test_points_carry_every_convention() -> None:
    points = _schedule().points
    assert points.k == (657, 514, 258, 18, None)
    assert points.network_time == (657.0, 514.0, 258.0, 18.0, None)
    assert points.s[-1] == 0.0
    assert points.lam[-1] is None
    assert points.s[2] == pytest.approx(PROCESS.at(PROCESS.time_of(258)).rho, rel=1e-15)


def test_guidance_doubles_network_calls_not_nfe() -> None:
    guided = MODEL.model_copy(update={"guidance": "classifier-free", "guidance_scale": 2.0})
    schedule = Schedule.build([0.5, 0.2, 0.0], model=guided, solver="ddim")
    assert (schedule.solver.nfe, schedule.solver.network_calls) == (2, 4)


def test_identity_is_of_what_runs_not_of_how_it_was_found() -> None:
    schedule = _schedule()
    other = schedule.model_copy(update={"fitness": {"fid": 1.0}})
    assert other.identity == schedule.identity
    assert _schedule((657, 514, 258, 17)).identity != schedule.identity


def _edit(*path: str | int, value: object) -> Callable[[dict[str, Any]], None]:
    def edit(document: dict[str, Any]) -> None:
        target: Any = document
        for part in path[:-1]:
            target = target[part]
        target[path[-1]] = value

    return edit


@pytest.mark.parametrize(
    ("edit", "field"),
    [
        (_edit("points", "k", 1, value=513), "points.k[1]"),
        (_edit("points", "s", 1, value=3.7), "points.s[1]"),
        (_edit("points", "lam", value=[0.0]), "points.lam"),
        (_edit("points", "t", 1, value=0.658), "times[1]"),
        (_edit("points", "t", 1, value=0.7), "times[1]"),
        (_edit("points", "t", 1, value=float("nan")), "schedule.points.t[1]"),
        (_edit("program", "output", "x", value=1e-3), "program"),
        (_edit("program", "nodes", 0, "alpha", value=0.2), "program"),
        (_edit("model", "process", "beta_end", value=0.03), "points.s[0]"),
        (_edit("solver", "nfe", value=5), "solver.nfe"),
        (_edit("solver", "name", value="ddim"), "program"),
        (_edit("solver", "name", value="magic"), "solver"),
        (_edit("version", value="2.0.0"), "version"),
        (_edit("format", value="other"), "format"),
        (_edit("surprise", value=1), "surprise"),
    ],
)
def test_a_document_that_disagrees_with_itself_is_refused_by_field(
    edit: Callable[[dict[str, Any]], None], field: str
) -> None:
    document = _schedule().to_dict()
    edit(document)
    with pytest.raises(InvalidInput) as caught:
        Schedule.from_dict(document)
    assert caught.value.field == field, caught.value.message


@pytest.mark.parametrize("text", ["", "[", "[]", "3", "[" * 100_000, b"\xff\xfe", "NaN"])
def test_what_is_no_document_is_refused(text: str | bytes) -> None:
    with pytest.raises(InvalidInput):
        Schedule.from_json(text)


def test_newer_minor_versions_stay_readable() -> None:
    document = _schedule().to_dict() | {"version": "1.7.2"}
    assert Schedule.from_dict(document).version == "1.7.2"


def test_text_ends_in_a_newline_and_has_all_digits() -> None:
    text = _schedule().to_json()
    assert text.endswith("}\n")
    assert json.loads(text)["points"]["s"] == list(_schedule().points.s)
