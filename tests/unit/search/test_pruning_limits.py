"""Budgets of pruned networks against a model's card: what is said to be allowed is accepted."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from fewstep.errors import InvalidInput
from fewstep.networks.models import resolve
from fewstep.request_pruning import PruningRequest
from search.pruning_limits import check_limits

IMPOSSIBLE = 1e-3


@pytest.mark.parametrize("model", ["zoo:digits", "zoo:cifar10-16"])
@pytest.mark.parametrize("remove", [True, False])
def test_the_least_share_that_is_named_is_accepted_and_less_is_not(
    model: str, remove: bool
) -> None:
    card = resolve(model)
    with pytest.raises(InvalidInput) as caught:
        check_limits(PruningRequest(cost=IMPOSSIBLE, remove=remove), card, steps=4)
    assert caught.value.field == "pruning.cost"
    found = re.search(r"allowed: (\S+) and more", caught.value.message)
    assert found, caught.value.message
    least = float(found[1])
    check_limits(PruningRequest(cost=least, remove=remove), card, steps=4)
    with pytest.raises(InvalidInput, match=found[1]):
        check_limits(PruningRequest(cost=least - 2e-4, remove=remove), card, steps=1)


def test_seconds_are_not_known_before_they_are_measured() -> None:
    check_limits(
        PruningRequest(cost=IMPOSSIBLE, objective="seconds"), resolve("zoo:digits"), steps=2
    )


def test_a_network_of_which_nothing_can_be_cut_is_refused() -> None:
    card = resolve("zoo:digits")
    architecture = {
        **card.architecture,
        "norm_groups": 1,
        "num_heads": 1,
        "num_head_channels": None,
    }
    whole = replace(card, architecture=architecture)
    check_limits(PruningRequest(), whole, steps=2)  # its bodies may go
    with pytest.raises(InvalidInput, match="nothing of the network of zoo:digits") as caught:
        check_limits(PruningRequest(remove=False), whole, steps=2)
    assert caught.value.field == "pruning"
