"""Genomes of architectures: ladders of widths, members, and what they stand for."""

from __future__ import annotations

import subprocess
import sys
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewstep.errors import InvalidInput
from fewstep.networks.adm.unet import UNet
from fewstep.networks.pruning.architecture import Architecture
from fewstep.networks.pruning.blocks import PrunableBlock, adm_blocks
from fewstep.networks.pruning.cache import BodyCache
from fewstep.networks.pruning.configuration import BlockChoice, NetworkConfiguration
from fewstep.networks.pruning.slicing import sliced
from space.architecture_ladders import adm_sections, ladders_of
from space.architecture_limits import BoundedSpace
from space.architectures import ArchitectureGenome, ArchitectureSpace, Mode, Ranking
from tests.unit.networks.adm.seeded import fill
from tests.unit.networks.pruning.test_configuration import IMAGENET_64
from tests.unit.space.architecture_cases import (
    SMALL,
    bounded_spaces,
    costs_of,
    members,
    space_of,
)

RES = PrunableBlock(name="res", kind="residual", units=4, unit_width=2)
ATT = PrunableBlock(name="att", kind="attention", units=2, unit_width=8)
FIXED = PrunableBlock(name="ff", kind="feed-forward", units=5, unit_width=1, can_be_removed=False)
BLOCKS = (RES, ATT, FIXED)
IN_ORDER: Ranking = {"res": (2, 0, 3, 1), "att": (1, 0), "ff": (4, 3, 2, 1, 0)}


def toy(mode: Mode = "steps", steps: int = 4) -> ArchitectureSpace:
    return ArchitectureSpace(
        blocks=BLOCKS, steps=steps, mode=mode, removable=("res", "att"), reusable=("res",)
    )


@pytest.mark.parametrize(
    ("kind", "units", "widths"),
    [
        ("residual", 32, (32, 28, 24, 20, 16)),
        ("residual", 8, (8, 7, 6, 5, 4)),
        ("residual", 4, (4, 3, 2)),
        ("residual", 2, (2, 1)),
        ("residual", 1, (1,)),
        ("attention", 3, (3, 2, 1)),
        ("feed-forward", 1280, (1280, 1120, 960, 800, 640, 480, 320, 160)),
        ("feed-forward", 2, (2, 1)),
    ],
)
def test_widths_are_whole_units_each_once_and_at_least_one(
    kind: str, units: int, widths: tuple[int, ...]
) -> None:
    block = PrunableBlock(name="b", kind=kind, units=units, unit_width=1)  # type: ignore[arg-type]
    (ladder,) = ladders_of([block])
    assert (ladder.units, ladder.bodiless) == (widths, ())
    (long,) = ladders_of([block], removable=["b"], reusable=["b"])
    order = list(reversed(range(units)))
    modes = [long.choice(place, order).mode for place in range(long.size)]
    assert modes[-2:] == ["reused", "removed"]
    assert len(set(modes[:-2])) == 1
    assert long.choice(len(widths) - 1, order).kept == tuple(sorted(order[: widths[-1]]))


@pytest.mark.parametrize(
    "names", [{"removable": ["ff"]}, {"reusable": ["ff"]}, {"removable": ["x"]}]
)
def test_only_bodies_that_may_go_are_asked_to(names: dict[str, list[str]]) -> None:
    with pytest.raises(InvalidInput, match=r"(removable|reusable)='(ff|x)'.*allowed: res, att"):
        ladders_of(BLOCKS, **names)


def test_sections_of_the_published_network_are_its_levels() -> None:
    """Ref: AutoDiffusion numbers them so; each level ends with the block that leaves it."""
    sections = adm_sections(IMAGENET_64)
    first = {section: sections.index(section) for section in sections}
    starts = [0, 4, 11, 18, 24, 27, 36, 45, 54]
    assert list(first.values()) == starts
    assert list(first) == [
        *(f"encoder.{level}" for level in range(4)),
        "middle",
        *(f"decoder.{level}" for level in (3, 2, 1, 0)),
    ]
    assert len(sections) == len(adm_blocks(IMAGENET_64)) == 58


def test_sections_without_a_network_are_its_parts() -> None:
    space = ArchitectureSpace(blocks=adm_blocks(SMALL), steps=2)
    assert list(dict.fromkeys(space.sections)) == ["encoder", "middle", "decoder"]


def test_a_genome_is_canonical_by_first_use() -> None:
    a, b, c = (0, 0, 1), (1, 0, 0), (2, 2, 2)
    genome = ArchitectureGenome((a, b, c), (2, 2, 0, 2))
    same = ArchitectureGenome((c, a), (0, 0, 1, 0))
    assert genome == same
    assert genome.key == same.key
    assert genome.key != ArchitectureGenome((c, b), (0, 0, 1, 0)).key


@pytest.mark.parametrize("of_step", [(), (0, 1), (-1,)])
def test_a_genome_has_a_configuration_for_every_step(of_step: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match="of_step"):
        ArchitectureGenome(((0, 0, 0),), of_step)


def test_decoding_keeps_the_first_units_of_the_ranking_in_ascending_order() -> None:
    kept = {"res": BlockChoice("groups", (0, 2, 3)), "att": BlockChoice("heads", (1,))}
    kept["ff"] = BlockChoice("hidden", (4,))
    gone = {"res": BlockChoice("reused"), "att": BlockChoice("removed")}
    last = toy().ladders[2].size - 1
    genome = ArchitectureGenome(((1, 1, last), (3, 2, 0)), (0, 1, 1, 0))
    architecture = toy().decode(genome, [IN_ORDER])
    assert architecture == Architecture(
        configurations=(NetworkConfiguration.of(kept), NetworkConfiguration.of(gone)),
        of_step=(0, 1, 1, 0),
    )


def test_genomes_that_run_the_same_have_one_architecture_and_the_full_one_is_none() -> None:
    space = toy("bands")
    apart = ArchitectureGenome(((1, 0, 0), (1, 0, 0)), (0, 0, 1, 1))
    shared = ArchitectureGenome(((1, 0, 0),), (0, 0, 0, 0))
    assert apart != shared
    found = [space.decode(genome, [IN_ORDER]) for genome in (apart, shared)]
    assert found[0].content_hash == found[1].content_hash
    assert space.decode(space.full, [IN_ORDER]).normalised(BLOCKS, steps=4) is None


def test_bands_of_equal_widths_keep_the_units_of_their_own_rankings() -> None:
    other = {**IN_ORDER, "res": (1, 3, 0, 2)}
    apart = ArchitectureGenome(((2, 0, 0), (2, 0, 0)), (0, 0, 1, 1))
    architecture = toy("bands").decode(apart, [IN_ORDER, IN_ORDER, other, other])
    kept = [architecture.at(step).get("res") for step in (0, 3)]
    assert kept == [BlockChoice("groups", (0, 2)), BlockChoice("groups", (1, 3))]
    # Together: places (1, 3, 0, 2) at three steps and (2, 0, 3, 1) at one: 5, 9, 3, 7 in all.
    shared = ArchitectureGenome(((2, 0, 0),), (0, 0, 0, 0))
    architecture = toy("bands").decode(shared, [IN_ORDER, IN_ORDER, IN_ORDER, other])
    assert architecture.at(0).get("res") == BlockChoice("groups", (0, 2))


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 1, 2, 2), (1, 2, 3, 4)])
def test_a_ranking_holds_every_unit_once(order: tuple[int, ...]) -> None:
    genome = toy().full.with_place(0, 0, 1)
    with pytest.raises(InvalidInput, match=r"rankings\.res=.*each of 0 to 3 once"):
        toy().decode(genome, [{**IN_ORDER, "res": order}])


def test_there_is_one_ranking_or_one_for_each_step() -> None:
    with pytest.raises(InvalidInput, match=r"rankings=2; allowed: one, or one for each of 4 steps"):
        toy().decode(toy().full, [IN_ORDER, IN_ORDER])


@pytest.mark.parametrize(
    ("mode", "widths", "of_step"),
    [
        ("shared", [(0, 0, 0), (1, 0, 0)], (0, 0, 1, 1)),
        ("bands", [(0, 0, 0), (1, 0, 0)], (0, 1, 1, 0)),
        ("steps", [(0, 0, 0)], (0, 0, 0)),
        ("steps", [(9, 0, 0)], (0, 0, 0, 0)),
        ("steps", [(0, 0)], (0, 0, 0, 0)),
        ("steps", [(i, 0, 0) for i in range(3)] + [(0, 1, 0)], (0, 1, 2, 3)),
        ("steps", [(3, 0, 0)], (0, 0, 0, 0)),
        ("steps", [(4, 0, 0), (3, 0, 0)], (0, 1, 1, 1)),
    ],
    ids=["one", "runs", "steps", "place", "blocks", "many", "reused-first", "reused-never-run"],
)
def test_what_is_no_member_is_refused(
    mode: Mode, widths: list[tuple[int, ...]], of_step: tuple[int, ...]
) -> None:
    with pytest.raises(InvalidInput, match=r"architecture\.genome=") as caught:
        toy(mode).decode(ArchitectureGenome(tuple(widths), of_step), [IN_ORDER])
    assert caught.value.field == "architecture"


@pytest.mark.parametrize(
    "values",
    [
        {"mode": "any"},
        {"steps": 0},
        {"max_configurations": 4},
        {"sections": ("a",)},
        {"blocks": ()},
    ],
)
def test_a_space_says_what_is_allowed(values: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match="allowed") as caught:
        ArchitectureSpace(**({"blocks": BLOCKS, "steps": 4} | values))  # type: ignore[arg-type]
    assert caught.value.field == "architecture"


@pytest.mark.parametrize("name", ["small", "imagenet-64"])
@settings(max_examples=8)
@given(st.data())
def test_members_stand_for_architectures_of_the_network(name: str, data: st.DataObject) -> None:
    bounded = data.draw(bounded_spaces(name))
    space = bounded.space
    architecture = space.decode(data.draw(members(bounded)), _rankings(space))
    architecture.normalised(space.blocks, steps=space.steps)
    assert Architecture.from_dict(architecture.to_dict()) == architecture


@settings(max_examples=6)
@given(st.data())
def test_members_with_reused_bodies_really_run(data: st.DataObject) -> None:
    """A body that no earlier step ran would be refused by the cache."""
    space = space_of("small", "steps", 4)
    bounded = BoundedSpace(space=space, costs=costs_of(space, "small", (1,) * 4))
    architecture = space.decode(data.draw(members(bounded)), _rankings(space))
    outputs = _run(architecture)
    assert all(torch.isfinite(output).all() for output in outputs)


def test_what_the_space_refuses_the_network_refuses_too() -> None:
    space = space_of("small", "steps", 2)
    modes: tuple[Literal["removed", "reused"], ...] = ("removed", "reused")
    reused = space.ladders[0].size - 2
    refused = ArchitectureGenome(
        tuple((place, *space.full_widths[1:]) for place in (reused + 1, reused)), (0, 1)
    )
    assert not space.holds(refused)
    name = space.blocks[0].name
    configurations = [NetworkConfiguration.of({name: BlockChoice(mode)}) for mode in modes]
    with pytest.raises(InvalidInput, match="no call before this one ran the body"):
        _run(Architecture.of_steps(configurations))


def test_spaces_need_no_torch() -> None:
    modules = ("architectures", "architecture_operators", "architecture_seeds", "layer_skips")
    program = "; ".join(
        [*(f"import space.{m}" for m in modules), "import sys", "print('torch' in sys.modules)"]
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert answer.stdout.strip() == "False"


def _rankings(space: ArchitectureSpace) -> list[Ranking]:
    rng = np.random.default_rng(3)
    return [{block.name: rng.permutation(block.units).tolist() for block in space.blocks}]


def _run(architecture: Architecture) -> list[torch.Tensor]:
    """One call for each step of the small network."""
    network = UNet(SMALL).eval()
    fill(network)
    cache = BodyCache.between(architecture.configurations)
    networks = [sliced(network, c, cache=cache) for c in architecture.configurations]
    x = torch.cos(torch.arange(64.0)).reshape(1, 1, 8, 8)
    with torch.no_grad():
        return [networks[c](x, torch.tensor([3.0])) for c in architecture.of_step]
