"""Settings are refused by name, and survive JSON."""

from __future__ import annotations

import json

import pytest

from fewstep.errors import InvalidInput
from fewstep.mcmc import DLGSettings

GOOD: dict[str, object] = {"eta": 0.2, "num_skip": 5, "space": "vp-rescaled"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("eta", 0.0),
        ("eta", float("nan")),
        ("eta", True),
        ("num_skip", 0),
        ("num_skip", 2.0),
        ("burn_in", -1),
        ("start_rho", float("inf")),
        ("tweedie_rho", -0.1),
        ("space", "vp"),
        ("step_rule", "adaptive"),
        ("gibbs", "softmax"),
        ("emission", "first"),
        ("adjust", "mh"),
    ],
)
def test_a_value_that_is_not_allowed_is_named(name: str, value: object) -> None:
    with pytest.raises(InvalidInput, match=f"settings.{name}={value!r}: .*allowed") as caught:
        DLGSettings.from_dict(GOOD | {name: value})
    assert caught.value.field == f"settings.{name}"


@pytest.mark.parametrize("name", sorted(GOOD))
def test_a_missing_value_is_named(name: str) -> None:
    with pytest.raises(InvalidInput, match=f"settings.{name}=None"):
        DLGSettings.from_dict({key: value for key, value in GOOD.items() if key != name})


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"settings\.colour='red'"):
        DLGSettings.from_dict(GOOD | {"colour": "red"})


def test_settings_survive_json() -> None:
    settings = DLGSettings(
        eta=0.3,
        num_skip=4,
        space="ve",
        step_rule="scaled",
        gibbs="argmax",
        emission="min-excl-start",
        adjust="noise-corrected",
        burn_in=20,
        start_rho=0.7,
        tweedie_rho=0.01,
    )
    assert DLGSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
