"""Search requests: what is filled in, and what is refused by which name."""

from __future__ import annotations

import json
import math
from typing import get_args

import pytest

from fewstep.errors import InvalidInput
from fewstep.guidance import Guidance
from fewstep.request import SearchRequest
from fewstep.request_pruning import PruningImportance, PruningMode, PruningRequest
from fewstep.solvers import SOLVERS
from space.architectures import MODES
from space.survey import IMPORTANCES

GOOD: dict[str, object] = {"model": "zoo:digits", "nfe": 4}


def test_steps_follow_from_calls_and_back() -> None:
    assert SearchRequest.parse(GOOD | {"nfe": 7, "solver": "heun"}).steps == 4
    assert SearchRequest.parse({"model": "m", "steps": 4, "solver": "heun"}).nfe == 7


def test_lists_are_accepted_as_json_has_them() -> None:
    request = SearchRequest.parse(
        GOOD | {"initial_times": [[657, 514, 258, 18]], "fidelities": [64, 128]}
    )
    assert request.initial_times == ((657, 514, 258, 18),)
    assert request.fidelities == (64, 128)


def test_a_resolved_request_is_a_request() -> None:
    request = SearchRequest.parse(GOOD | {"guidance_scale": 2})
    again = SearchRequest.parse(json.loads(json.dumps(request.resolved())))
    assert again == request
    assert again.identity == request.identity


def test_guidance_follows_from_its_scale() -> None:
    assert SearchRequest.parse(GOOD).guidance == "none"
    assert SearchRequest.parse(GOOD | {"guidance_scale": 2.5}).guidance == "classifier-free"
    assert SearchRequest.parse(GOOD | {"guidance": "classifier"}).guidance == "classifier"


def test_classifier_guidance_takes_a_pass_and_a_gradient_for_each_call() -> None:
    cost = SearchRequest.parse(GOOD | {"guidance": "classifier", "guidance_scale": 2.0}).cost
    assert (cost.passes, cost.gradients) == (4, 4)
    split = {"guidance": "classifier", "solver": "stsp4"}
    cost = SearchRequest.parse(GOOD | split).cost
    assert (cost.passes, cost.gradients) == (4, 8)


def test_the_identity_of_a_request_without_new_fields_stays() -> None:
    old = "8bda224b6ac2a697f2cc4f0558060c1b24b7557f054e3f2050a3f401e4097d01"
    assert SearchRequest.parse(GOOD).identity == old
    guided = "c84f4134bea8979f17fa4ca1e9a0debd668cd333a3fd659a28e132e38aba4d20"
    assert SearchRequest.parse(GOOD | {"guidance_scale": 2.5}).identity == guided
    changed: list[dict[str, object]] = [
        {"solver": "ddpm", "solver_options": {"eta": 0.5}},
        {"guidance": "classifier"},
        {"search_options": ["order"]},
    ]
    identities = {SearchRequest.parse(GOOD | fields).identity for fields in changed}
    assert len(identities | {old}) == 4


def test_options_and_their_lists_survive_the_round_trip() -> None:
    request = SearchRequest.parse(
        GOOD | {"solver_options": {"order": [1, 2, 2, 1]}, "search_options": ["solver_type"]}
    )
    again = SearchRequest.parse(json.loads(json.dumps(request.resolved())))
    assert again == request
    assert again.solver_options == {"order": [1, 2, 2, 1]}


def test_a_list_of_a_value_for_each_step_decides_how_many_steps_the_calls_are() -> None:
    plms = {"solver": "plms4", "nfe": 5}
    alone = SearchRequest.parse(GOOD | plms)
    order = [min(i + 1, 4) for i in range(alone.steps)]
    request = SearchRequest.parse(GOOD | plms | {"solver_options": {"order": order}})
    assert (request.steps, request.nfe) == (alone.steps, 5)


@pytest.mark.parametrize(
    ("fields", "nfe", "steps"),
    [
        ({"nfe": 10, "dlg": {}}, 10, 9),
        ({"nfe": 10, "dlg": {"num_skip": 3}}, 10, 7),
        # Heun spends odd counts only: 2 is the least number of chain steps that leaves one.
        ({"nfe": 9, "dlg": {}, "solver": "heun"}, 9, 4),
        ({"nfe": None, "steps": 4, "dlg": {}, "solver": "heun"}, 8, 4),
        ({"nfe": None, "steps": 4, "dlg": {"num_skip": 3}}, 7, 4),
    ],
)
def test_calls_of_chains_are_their_steps_and_those_of_denoising(
    fields: dict[str, object], nfe: int, steps: int
) -> None:
    request = SearchRequest.parse(GOOD | fields)
    assert (request.nfe, request.steps, request.calls_per_image) == (nfe, steps, nfe)
    again = SearchRequest.parse(json.loads(json.dumps(request.resolved())))
    assert (again, again.identity) == (request, request.identity)


def test_a_request_without_chains_does_not_speak_of_them() -> None:
    assert "dlg" not in SearchRequest.parse(GOOD).resolved()
    drawn = SearchRequest.parse(GOOD | {"dlg": {}})
    assert drawn.identity != SearchRequest.parse(GOOD).identity
    assert drawn.identity == SearchRequest.parse(GOOD | {"dlg": {"chains": 32}}).identity


def test_a_request_without_pruning_does_not_speak_of_it() -> None:
    plain = SearchRequest.parse(GOOD)
    assert "pruning" not in plain.resolved()
    pruned = SearchRequest.parse(GOOD | {"pruning": {}})
    assert pruned.identity != plain.identity
    assert pruned.identity == SearchRequest.parse(GOOD | {"pruning": {"points": 5}}).identity
    other = SearchRequest.parse(GOOD | {"pruning": {"cost": 0.7}})
    assert other.identity != pruned.identity


@pytest.mark.parametrize(
    ("pruning", "guidance", "solver", "expected"),
    [
        ({}, "none", "ddim", True),
        ({}, "classifier-free", "ddim", True),
        ({}, "classifier", "ltsp4", True),
        ({}, "classifier-free", "ltsp4", False),
        ({"mode": "bands"}, "none", "ddim", True),
        ({"mode": "shared"}, "none", "ddim", False),
        ({"reuse": False}, "none", "ddim", False),
        ({"reuse": True}, "classifier-free", "ddim", True),
    ],
)
def test_bodies_are_reused_wherever_they_can_be_unless_asked_otherwise(
    pruning: dict[str, object], guidance: Guidance, solver: str, expected: bool
) -> None:
    request = PruningRequest.model_validate(pruning)
    assert request.may_reuse(guidance=guidance, solver=SOLVERS.get(solver)) is expected


@pytest.mark.parametrize(
    "fields",
    [
        {"pruning": {"cost": 0.7, "mode": "steps", "reuse": True}},
        {"pruning": {"objective": "seconds"}, "guidance": "classifier", "guidance_scale": 2.0},
        {"pruning": {"max_saving": 0.1}, "strategy": "paper"},
        {"pruning": {"mode": "bands", "reuse": True}, "guidance": "classifier", "solver": "ltsp4"},
    ],
)
def test_a_resolved_request_for_pruned_networks_is_the_same_request(
    fields: dict[str, object],
) -> None:
    request = SearchRequest.parse(GOOD | fields)
    again = SearchRequest.parse(json.loads(json.dumps(request.resolved())))
    assert (again, again.identity) == (request, request.identity)
    assert again.pruning is not None


def test_words_of_pruning_are_those_of_the_search_space() -> None:
    assert get_args(PruningMode) == MODES
    assert get_args(PruningImportance) == IMPORTANCES


def test_guidance_doubles_the_calls_of_an_image() -> None:
    assert SearchRequest.parse(GOOD).calls_per_image == 4
    assert SearchRequest.parse(GOOD | {"guidance_scale": 2.5}).calls_per_image == 8


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"nfe": 0}, "nfe", "nfe=0"),
        ({"nfe": 1001}, "nfe", "nfe=1001"),
        ({"nfe": "4"}, "nfe", "integer"),
        ({"nfe": True}, "nfe", "integer"),
        ({"nfe": 4.0}, "nfe", "integer"),
        ({"nfe": None}, "nfe", "missing"),
        ({"nfe": 4, "steps": 5}, "steps", "give one"),
        ({"nfe": 4, "solver": "heun"}, "nfe", "1, 3, 5"),
        ({"solver": "magic"}, "solver", "ddim"),
        ({"solver": 3}, "solver", "name"),
        ({"strategy": "luck"}, "strategy", "evolution"),
        ({"surprise": 1}, "surprise", "allowed: budget"),
        ({"guidance_scale": math.nan}, "guidance_scale", "finite"),
        ({"guidance_scale": math.inf}, "guidance_scale", "finite"),
        ({"guidance_scale": -1}, "guidance_scale", "greater"),
        ({"budget": 10_000_001}, "budget", "10000000"),
        ({"solver_options": 3}, "solver_options", "dictionary"),
        ({"solver_options": {"eta": 0.5}}, "solver_options.eta", "allowed: order"),
        ({"solver_options": {"order": 3}}, "solver_options.order", "1 to 2"),
        ({"solver_options": {"order": [1, 2, 7, 1]}}, "solver_options.order[2]", "1 to 2"),
        ({"solver_options": {"order": [1, 2]}}, "solver_options.order", "4, one for each"),
        ({"solver_options": {"order": math.nan}}, "solver_options.order", "finite"),
        ({"solver": "ddpm", "solver_options": {"eta": 2}}, "solver_options.eta", "0 to 1"),
        ({"search_options": "order"}, "search_options", "tuple"),
        ({"search_options": ["phi"]}, "search_options[0]", "order"),
        ({"search_options": ["order", "order"]}, "search_options[1]", "twice"),
        ({"solver": "ddim", "search_options": ["order"]}, "search_options[0]", "no option"),
        (
            {"solver_options": {"order": 1}, "search_options": ["order"]},
            "search_options[0]",
            "one of the two",
        ),
        ({"search_options": ["order"], "strategy": "paper"}, "search_options", "evolution"),
        ({"dlg": 3}, "dlg", "dictionary"),
        ({"dlg": {"speed": 1}}, "dlg.speed", "allowed: adjust, burn_in"),
        ({"dlg": {"eta": 0.0}}, "dlg.eta", "greater than 0"),
        ({"dlg": {"eta": math.nan}}, "dlg.eta", "finite"),
        ({"dlg": {"num_skip": 0}}, "dlg.num_skip", "greater"),
        ({"dlg": {"num_skip": 4}}, "dlg.num_skip", "nfe=4"),
        ({"dlg": {"num_skip": 1}, "nfe": 4, "solver": "heun", "steps": 1}, "steps", "give one"),
        ({"dlg": {}, "nfe": 1}, "nfe", "leave"),
        ({"dlg": {"chains": 0}}, "dlg.chains", "greater"),
        ({"dlg": {"start_calls": 1}}, "dlg.start_calls", "2"),
        ({"dlg": {"gibbs": "guess"}}, "dlg.gibbs", "argmax"),
        ({"dlg": {"adjust": "mala"}}, "dlg.adjust", "noise-corrected"),
        ({"dlg": {}, "guidance": "classifier"}, "guidance", "classifier-free"),
        ({"dlg": {}, "strategy": "paper"}, "dlg", "evolution"),
        ({"dlg": {}, "solver_options": {"eta": 1}}, "solver_options.eta", "allowed: order"),
        ({"dlg": {}, "solver_options": {"order": [1, 2, 1]}}, "solver_options.order", "one value"),
        ({"pruning": 3}, "pruning", "dictionary"),
        ({"pruning": {"speed": 1}}, "pruning.speed", "allowed: calibration_images, cost"),
        ({"pruning": {"cost": 1.5}}, "pruning.cost", "pruning.cost=1.5: input should be less"),
        ({"pruning": {"cost": 0}}, "pruning.cost", "greater than 0"),
        ({"pruning": {"cost": math.nan}}, "pruning.cost", "finite"),
        ({"pruning": {"cost": True}}, "pruning.cost", "number"),
        ({"pruning": {"max_saving": 1.0}}, "pruning.max_saving", "less than 1"),
        ({"pruning": {"mode": "random"}}, "pruning.mode", "'bands'"),
        ({"pruning": {"repair": "train"}}, "pruning.repair", "'ridge'"),
        ({"pruning": {"objective": "flops"}}, "pruning.objective", "'seconds'"),
        ({"pruning": {"importance": "luck"}}, "pruning.importance", "'magnitude'"),
        ({"pruning": {"remove": 1}}, "pruning.remove", "boolean"),
        ({"pruning": {"calibration_images": 0}}, "pruning.calibration_images", "greater"),
        ({"pruning": {"calibration_images": 4097}}, "pruning.calibration_images", "4096"),
        ({"pruning": {"share": 1.0}}, "pruning.share", "less than 1"),
        ({"pruning": {"points": 13}}, "pruning.points", "12"),
        ({"pruning": {"cost": 0.5, "max_saving": 0.4}}, "pruning.max_saving", "one of the two"),
        ({"pruning": {"reuse": True, "mode": "shared"}}, "pruning.reuse", "'bands' or 'steps'"),
        ({"pruning": {}, "dlg": {}}, "pruning", "allowed with dlg: null"),
        ({"pruning": {}, "strategy": "random"}, "pruning", "'evolution' or 'paper'"),
        ({"pruning": {"mode": "bands"}, "strategy": "paper"}, "pruning.mode", "max_saving"),
        ({"pruning": {"reuse": False}, "strategy": "paper"}, "pruning.reuse", "max_saving"),
        ({"pruning": {"cost": 0.5}, "strategy": "paper"}, "pruning.cost", "max_saving"),
        (
            {"pruning": {"reuse": True, "mode": "steps"}, "solver": "ltsp4", "guidance_scale": 2.0},
            "pruning.reuse",
            "does not split guidance",
        ),
        ({"guidance": "strong"}, "guidance", "classifier"),
        ({"guidance": "none", "guidance_scale": 2.0}, "guidance_scale", "allowed: 1"),
        ({"guidance": "classifier-free"}, "guidance", "another guidance_scale"),
        ({"solver": "ltsp4"}, "guidance", "classifier"),
        ({"paper_fraction": 0}, "paper_fraction", "greater than 0"),
        ({"initial_times": [[5, 4, 4, 1]]}, "initial_times[0][2]", "decrease"),
        ({"initial_times": [[1, 2, 3, 4]]}, "initial_times[0][1]", "decrease"),
        ({"initial_times": [[3, 2]]}, "initial_times[0]", "allowed: 4"),
        ({"initial_times": [[3, 2, 1, -1]]}, "initial_times[0][3]", "0 and more"),
        ({"initial_times": [[3, 2, 1.5, 1]]}, "initial_times[0][2]", "integer"),
        ({"initial_times": [[3, math.nan, 1, 0]]}, "initial_times[0][1]", "finite"),
        ({"fidelities": [256, 256]}, "fidelities[1]", "increase"),
        ({"fidelities": []}, "fidelities", "at least 1"),
        ({"model": "\ud800"}, "model", "Unicode"),
        ({"model": ""}, "model", "at least 1"),
        ({"seed": 2**31}, "seed", "2147483648"),
    ],
)
def test_bad_values_are_refused_by_field_value_and_rule(
    change: dict[str, object], field: str, words: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        SearchRequest.parse(GOOD | change)
    assert caught.value.field == field
    assert words in caught.value.message, caught.value.message


@pytest.mark.parametrize("document", [None, 3, "text", [], [GOOD]])
def test_what_is_no_object_is_refused(document: object) -> None:
    with pytest.raises(InvalidInput):
        SearchRequest.parse(document)


def test_a_missing_model_is_said_to_be_missing() -> None:
    with pytest.raises(InvalidInput, match="model: missing"):
        SearchRequest.parse({"nfe": 4})


def test_deep_nesting_is_refused_before_it_hurts() -> None:
    deep: object = 1
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(InvalidInput, match="nested"):
        SearchRequest.parse(GOOD | {"initial_times": deep})
