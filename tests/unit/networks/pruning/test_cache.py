"""Bodies kept from one call to the next: whose they are, and what happens without them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fewstep.errors import InvalidInput
from fewstep.networks.pruning.cache import BodyCache
from fewstep.networks.pruning.configuration import BlockChoice, NetworkConfiguration
from tests.unit.networks.pruning.cases import NAMES, Case, case, outward

REUSED = BlockChoice("reused")


def _every_other(problem: Case) -> list[str]:
    """Blocks of every kind, resampling ones included."""
    return [block.name for block in problem.blocks[1::2]]


def _bodies(problem: Case, names: list[str]) -> dict[str, Tensor]:
    """What the full network's bodies put out in a call: by hooks of our own."""
    bodies: dict[str, Tensor] = {}
    handles = [
        outward(problem.network.get_submodule(name)).register_forward_hook(
            lambda _, __, output, name=name: bodies.update({name: output.clone()})
        )
        for name in names
    ]
    problem.run()
    for handle in handles:
        handle.remove()
    return bodies


def _forced(
    network: nn.Module, bodies: dict[str, Tensor]
) -> list[torch.utils.hooks.RemovableHandle]:
    return [
        outward(network.get_submodule(name)).register_forward_hook(lambda *_, body=body: body)
        for name, body in bodies.items()
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_reused_body_adds_what_the_call_before_added(name: str) -> None:
    problem = case(name)
    names = _every_other(problem)
    cache = BodyCache(names)
    problem.run(problem.cut({}, bodies=cache))
    ours = problem.run(problem.cut(dict.fromkeys(names, REUSED), bodies=cache), shift=0.3)
    forced = _forced(problem.network, _bodies(problem, names))
    theirs = problem.run(shift=0.3)
    for handle in forced:
        handle.remove()
    assert (ours - theirs).abs().max() < 1e-12
    assert (ours - problem.run(shift=0.3)).abs().max() > 1e-2


@pytest.mark.parametrize("name", NAMES)
def test_reuse_in_an_equal_call_changes_nothing(name: str) -> None:
    problem = case(name)
    names = [block.name for block in problem.blocks]
    cache = BodyCache(names)
    problem.run(problem.cut({}, bodies=cache))
    again = problem.cut(dict.fromkeys(names, REUSED), bodies=cache)
    assert (problem.run(again) - problem.run()).abs().max() < 1e-12


def test_the_latest_call_that_ran_a_body_is_the_one_reused() -> None:
    problem = case("adm")
    name = "output_blocks.2.0"
    cache = BodyCache([name])
    problem.run(problem.cut({}, bodies=cache))
    narrow = problem.cut({name: BlockChoice("groups", (1,))}, bodies=cache)
    problem.run(problem.cut({name: BlockChoice("removed")}, bodies=cache), shift=0.1)  # runs none
    problem.run(narrow)
    reusing = problem.cut({name: REUSED}, bodies=cache)
    assert (problem.run(reusing) - problem.run(narrow)).abs().max() < 1e-12


def test_reusing_a_body_that_no_call_has_run_is_refused_and_so_it_is_after_clearing() -> None:
    problem = case("adm")
    cache = BodyCache(["middle_block.1"])
    reusing = problem.cut({"middle_block.1": REUSED}, bodies=cache)
    with pytest.raises(InvalidInput, match=r"middle_block\.1\.mode='reused': no call") as caught:
        problem.run(reusing)
    assert caught.value.field == "configuration"
    problem.run(problem.cut({}, bodies=cache))
    problem.run(reusing)
    cache.clear()
    with pytest.raises(InvalidInput, match="no call before this one"):
        problem.run(reusing)


def test_a_body_of_another_batch_is_refused() -> None:
    problem = case("adm")
    cache = BodyCache(["middle_block.0"])
    x, t = problem.inputs
    problem.cut({}, bodies=cache)(x[:1], t[:1])
    with pytest.raises(InvalidInput, match=r"\(1, 32, 4, 4\).*\(2, 32, 4, 4\).*clear the cache"):
        problem.run(problem.cut({"middle_block.0": REUSED}, bodies=cache))


@pytest.mark.parametrize(
    ("cache", "allowed"),
    [(None, "none without a cache"), (BodyCache(["middle_block.1"]), "middle_block.1")],
)
def test_bodies_that_nothing_keeps_are_refused_before_a_call(
    cache: BodyCache | None, allowed: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        case("adm").cut({"middle_block.0": REUSED}, bodies=cache)
    assert caught.value.message.startswith("configuration.middle_block.0.mode='reused'")
    assert caught.value.message.endswith(f"allowed: {allowed}")


def test_a_cache_keeps_what_any_configuration_reuses_and_nothing_else() -> None:
    one = NetworkConfiguration.of({"a": REUSED, "b": BlockChoice("removed")})
    other = NetworkConfiguration.of({"c": REUSED})
    assert BodyCache.between([one, other]).names == {"a", "c"}


def test_bodies_are_kept_without_their_gradients() -> None:
    problem = case("adm")
    cache = BodyCache(["middle_block.0"])
    x, t = problem.inputs
    problem.cut({}, bodies=cache)(x, t)
    assert not cache.read("middle_block.0", shape=(2, 32, 4, 4)).requires_grad
