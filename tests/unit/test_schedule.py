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
from fewstep.mcmc import relative_times
from fewstep.mcmc.plan import ChainPlan
from fewstep.process import VE, VPDiscrete, VPLinear
from fewstep.running import sample
from fewstep.schedule import GuideSection, ModelSection, Schedule, json_schema
from fewstep.schedule_chains import LevelGuideSection
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


GUIDE = GuideSection(name="noisy", sha256="1" * 64, gradient_cost=0.25)
CLASSIFIER_GUIDED = MODEL.model_copy(
    update={"guidance": "classifier", "guidance_scale": 2.0, "guide": GUIDE}
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
    model = CLASSIFIER_GUIDED if SOLVERS.get(solver).is_split else MODEL
    schedule = Schedule.build(times, model=model, solver=solver)
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


def test_a_document_holds_passes_gradients_and_cost() -> None:
    schedule = Schedule.build([0.5, 0.2, 0.0], model=CLASSIFIER_GUIDED, solver="ddim")
    solver = schedule.solver
    assert (solver.nfe, solver.network_calls, solver.gradient_calls) == (2, 2, 2)
    assert solver.cost == 2.5
    split = Schedule.build([0.5, 0.2, 0.0], model=CLASSIFIER_GUIDED, solver="stsp1").solver
    assert (split.nfe, split.network_calls, split.gradient_calls, split.cost) == (2, 2, 4, 3.0)


def test_a_split_solver_without_guidance_is_refused() -> None:
    with pytest.raises(InvalidInput, match="gives no gradient") as caught:
        Schedule.build([0.5, 0.2, 0.0], model=MODEL, solver="ltsp1")
    assert caught.value.field == "guidance"


def test_documents_from_before_costs_stay_readable_and_keep_their_identity() -> None:
    schedule = _schedule()
    document = schedule.to_dict() | {"version": schedule.version}
    del document["model"]["guide"], document["solver"]["gradient_calls"], document["solver"]["cost"]
    old = Schedule.from_dict(document)
    assert (old.solver.gradient_calls, old.solver.cost) == (0, None)
    assert old.identity == schedule.identity


@pytest.mark.parametrize("version", ["1.0.0", "1.1.0", "1.2.0"])
def test_documents_from_before_architectures_stay_readable_and_keep_their_identity(
    version: str,
) -> None:
    """Identities as version 1.2 gave them."""
    split = Schedule.build(_schedule().times, model=CLASSIFIER_GUIDED, solver="stsp2")
    known = {
        "e7310a53cb3861f7a3add59bbee1a56080571ccb7169cb1e022ec90a351ca8d8": _schedule(),
        "a6c4ba086c82cd5e0bed6aa9e0c6eeb4d5f3313c64c5a14758231eaca52e331f": split,
        "dacab551dc0b2dbef2a42822c3a8cf1edb9340b40467741b6fe97a4cde8ef275": _drawn_from_chains(),
    }
    for identity, schedule in known.items():
        document = schedule.to_dict() | {"version": version}
        assert document["architecture"] is None
        assert Schedule.from_dict(document).identity == identity == schedule.identity


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
        (_edit("solver", "name", value="ddim"), "options.order"),
        (_edit("solver", "options", "order", 1, value=1), "program"),
        (_edit("solver", "network_calls", value=8), "solver.network_calls"),
        (_edit("solver", "gradient_calls", value=1), "solver.gradient_calls"),
        (_edit("solver", "cost", value=5.0), "solver.cost"),
        (_edit("model", "guidance", value="classifier"), "model.guide"),
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


PLAN = ChainPlan(eta=0.5, num_skip=3, chains=64, burn_in=4, start_calls=8)


def _drawn_from_chains() -> Schedule:
    guide = LevelGuideSection(name="levels", sha256="2" * 64)
    return _schedule().with_chains(PLAN, guide=guide, images=256)


def test_a_document_says_how_its_images_are_drawn_from_chains() -> None:
    schedule = _drawn_from_chains()
    assert Schedule.from_json(schedule.to_json()) == schedule
    jsonschema.validate(schedule.to_dict(), json_schema())
    chains = schedule.chains
    assert chains is not None
    assert chains.plan == PLAN
    assert (chains.chains, chains.windows, schedule.nfe, schedule.solver.nfe) == (64, 4, 7, 4)
    assert chains.cost == 3 + 4 + (4 + 8) / 4
    assert chains.schedule == relative_times(schedule.times, PROCESS)
    assert chains.settings["start_rho"] == schedule.points.s[0]


def test_chains_are_part_of_what_a_document_is() -> None:
    assert _schedule().chains is None
    assert _drawn_from_chains().identity != _schedule().identity


def test_a_document_of_chains_is_not_run_from_noise() -> None:
    with pytest.raises(InvalidInput, match=r"sample_chains, or .*sample_with_dlg") as caught:
        _drawn_from_chains().sample(MixtureDenoiser(), torch.zeros(2, 1))
    assert caught.value.field == "chains"


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("nfe", 6, "chains.nfe"),
        ("cost", 9.0, "chains.cost"),
        ("windows", 5, "chains.cost"),
        ("settings", {"eta": -1.0}, "settings.eta"),
        ("settings", {"start_rho": 0.1}, "chains.settings"),
        ("settings", {"step_rule": "scaled"}, "chains.settings"),
        ("settings", {"tweedie_rho": 0.1}, "chains.settings"),
        ("relative_times", {"rho_min": 0.5}, "chains.relative_times"),
        ("start", {"nfe": 9}, "chains.start"),
        ("start", {"solver": "ddim"}, "chains.start"),
        ("surprise", 1, "chains.surprise"),
    ],
)
def test_chains_that_disagree_with_the_points_are_refused(
    name: str, value: object, field: str
) -> None:
    document = _drawn_from_chains().to_dict()
    if isinstance(value, dict):
        document["chains"][name] |= value
    else:
        document["chains"][name] = value
    with pytest.raises(InvalidInput) as caught:
        Schedule.from_dict(document)
    assert caught.value.field == field, caught.value.message


def test_documents_say_how_start_noise_is_scaled() -> None:
    """Variance-exploding states start as wide as their first level, others at unit variance."""
    times = [1.0, 0.6, 0.3, 0.1, 0.0]
    processes = {"unit-normal": VPLinear(), "scaled-normal": VE()}
    for expected, process in processes.items():
        model = MODEL.model_copy(update={"process": process.describe()})
        schedule = Schedule.build(times, model=model, solver="ddim")
        assert schedule.solver.initial_noise == expected
        assert Schedule.from_json(schedule.to_json()) == schedule
