"""Search requests: what is filled in, and what is refused by which name."""

from __future__ import annotations

import json
import math

import pytest

from fewstep.errors import InvalidInput
from fewstep.request import SearchRequest

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
