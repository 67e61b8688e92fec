"""Costs of architectures over schedules: by parts, as the network's own count, and in seconds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewstep.errors import InvalidInput
from fewstep.guidance import Guidance
from fewstep.networks.pruning.architecture import Architecture
from fewstep.networks.pruning.configuration import BlockChoice, NetworkConfiguration
from fewstep.networks.pruning.macs import adm_macs
from fewstep.process import VPDiscrete
from fewstep.program import trace
from space.architecture_cost import (
    GenomeCosts,
    macs_share,
    passes_of_steps,
    schedule_macs,
    schedule_seconds,
)
from space.architectures import ArchitectureGenome
from tests.unit.space.architecture_cases import (
    NETWORKS,
    SMALL,
    bounded_spaces,
    costs_of,
    members,
    space_of,
)

FULL = NetworkConfiguration()
NARROW = NetworkConfiguration.of({"middle_block.0": BlockChoice("groups", (0, 1, 2, 3))})
TIMES = (0.9, 0.6, 0.3, 0.0)


@pytest.mark.parametrize(
    ("solver", "guidance", "passes"),
    [
        ("ddim", "none", (1, 1, 1)),
        ("dpm-solver++-2m", "none", (1, 1, 1)),
        ("ddim", "classifier-free", (2, 2, 2)),
        ("ddim", "classifier", (1, 1, 1)),
        ("heun", "none", (1, 2, 2)),  # the second stage is at the next step's time
        ("dpm-solver-2", "none", (2, 2, 1)),  # a stage within each step but the last
    ],
)
def test_passes_count_at_the_step_whose_network_runs_them(
    solver: str, guidance: Guidance, passes: tuple[int, ...]
) -> None:
    program = trace(TIMES, process=VPDiscrete.linear(), solver=solver)
    assert passes_of_steps(program, TIMES, guidance) == passes
    factor = 2 if guidance == "classifier-free" else 1
    assert sum(passes) == factor * program.nfe


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=8)
@given(st.data())
def test_costs_of_genomes_are_those_counted_for_their_architectures(
    name: str, data: st.DataObject
) -> None:
    bounded = data.draw(bounded_spaces(name))
    space, costs = bounded.space, bounded.costs
    genome = data.draw(members(bounded))
    order = {block.name: list(reversed(range(block.units))) for block in space.blocks}
    architecture = space.decode(genome, [order])
    config, size = NETWORKS[name]
    assert costs.cost(genome) == schedule_macs(architecture, config, size, passes=costs.passes)
    counted = sum(
        count * adm_macs(config, architecture.at(step), size).total.macs
        for step, count in enumerate(costs.passes)
    )
    assert costs.cost(genome) == counted
    assert costs.share(genome) == macs_share(architecture, config, size, passes=costs.passes)


def test_the_full_network_costs_all_of_itself() -> None:
    assert macs_share(None, SMALL, 8, passes=(1, 2)) == 1.0
    once = Architecture.of_steps([FULL, NARROW])
    one = adm_macs(SMALL, NARROW, 8).total.macs / adm_macs(SMALL, FULL, 8).total.macs
    assert macs_share(once, SMALL, 8, passes=(1, 3)) == pytest.approx((1 + 3 * one) / 4)
    space = space_of("imagenet-64", "shared", 10)
    costs = costs_of(space, "imagenet-64", (1,) * 10)
    assert round(costs.full / 1e9) == 1097
    assert costs.share(space.full) == 1.0


def test_passes_of_configurations_add_up() -> None:
    space = space_of("small", "steps", 4)
    genome = ArchitectureGenome((space.full_widths, (1, *space.full_widths[1:])), (0, 1, 1, 0))
    assert costs_of(space, "small", (1, 2, 2, 3)).passes_of(genome) == [4, 4]


def test_seconds_come_from_the_table_of_the_device() -> None:
    table = {("cpu", FULL.content_hash): 0.5, ("cpu", NARROW.content_hash): 0.25}
    architecture = Architecture.of_steps([NARROW, FULL, NARROW])
    found = schedule_seconds(architecture, passes=(1, 2, 2), device="cpu", seconds=table)
    assert found == 0.25 + 2 * 0.5 + 2 * 0.25
    assert schedule_seconds(None, passes=(1, 2), device="cpu", seconds=table) == 1.5
    for device, left in (("cuda", table), ("cpu", {("cpu", FULL.content_hash): 0.5})):
        with pytest.raises(InvalidInput, match=f"{NARROW.content_hash}.*{device}") as caught:
            schedule_seconds(architecture, passes=(1, 2, 2), device=device, seconds=left)
        assert caught.value.field == "seconds"


@pytest.mark.parametrize("passes", [(1, 1), (1, -1, 2), (0, 0, 0)])
def test_there_is_a_count_of_passes_for_each_step(passes: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match="passes"):
        GenomeCosts.of_adm(space_of("small", "shared", 3), SMALL, 8, passes=passes)


def test_an_architecture_of_other_steps_has_no_cost() -> None:
    with pytest.raises(InvalidInput, match="each of 3 steps"):
        schedule_macs(Architecture.of_steps([FULL, NARROW]), SMALL, 8, passes=(1, 1, 1))
