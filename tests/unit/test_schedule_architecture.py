"""Architectures in schedule documents: round trip, identity, and every disagreement refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fewstep.denoisers import StackedLevel
from fewstep.errors import InvalidInput
from fewstep.mcmc.plan import ChainPlan
from fewstep.networks.pruning.architecture import REPAIRS, Architecture
from fewstep.networks.pruning.calibration_plan import CalibrationPlan
from fewstep.running import run
from fewstep.schedule import Schedule, json_schema
from fewstep.schedule_architecture import ArchitectureSection
from fewstep.schedule_chains import LevelGuideSection
from fewstep.solvers import Kind
from tests.pruned_documents import (
    BLOCKS,
    CARD,
    FULL,
    PROCESS,
    REUSING,
    THIN,
    TIMES,
    of_steps,
    schedule_of,
)
from tests.unit.networks.pruning.drawn import configurations

SHA = "a" * 64


@st.composite
def architectures(draw: st.DrawFn, steps: int) -> Architecture | None:
    """Any legal architecture of the bundled model; None where it keeps everything."""
    distinct = draw(st.lists(configurations(BLOCKS), min_size=1, max_size=3))
    each = [draw(st.sampled_from(distinct)) for _ in range(steps)]
    repair = draw(st.sampled_from(REPAIRS))
    times = sorted(draw(st.sets(st.floats(0.01, 1.0), min_size=steps, max_size=steps)))[::-1]
    plan = CalibrationPlan(
        solver=draw(st.sampled_from(["ddim", "heun", "ddpm"])),
        times=(*times, 0.0),
        num_images=draw(st.integers(1, 4096)),
    )
    calibration = None if repair == "none" else plan
    drawn = Architecture.of_steps(each, repair=repair, calibration=calibration)
    return drawn.normalised(BLOCKS, steps=steps)


@given(st.data(), st.sampled_from([1.0, 2.0]), st.sampled_from(["ddim", "heun", "dpm-solver-2"]))
@settings(max_examples=25)
def test_any_architecture_reads_back_as_it_was(
    data: st.DataObject, guidance_scale: float, solver: str
) -> None:
    indices = data.draw(st.sets(st.integers(0, 999), min_size=2, max_size=5))
    times = [*(PROCESS.time_of(index) for index in sorted(indices, reverse=True)), 0.0]
    architecture = data.draw(architectures(len(times) - 1))
    if architecture is None:
        return
    schedule = schedule_of(
        architecture,
        solver=solver,
        times=times,
        model=CARD.document_section(guidance_scale=guidance_scale),
        weights_sha256=None if architecture.repair == "none" else SHA,
    )
    again = Schedule.from_json(schedule.to_json())
    assert again == schedule
    assert again.identity == schedule.identity
    section = again.architecture
    assert section is not None
    assert section.to_architecture() == architecture
    plain = Schedule.build(times, model=schedule.model, solver=solver)
    expected = plain.trace().with_networks(times, architecture.of_step)
    assert again.trace() == expected
    jsonschema.validate(schedule.to_dict(), json_schema())


def test_a_document_counts_multiply_adds_with_the_passes_of_guidance() -> None:
    once = schedule_of(of_steps(FULL, THIN, FULL)).architecture
    twice = schedule_of(
        of_steps(FULL, THIN, FULL), model=CARD.document_section(guidance_scale=2.0)
    ).architecture
    assert once is not None
    assert twice is not None
    assert (twice.macs, twice.full_macs) == (2 * once.macs, 2 * once.full_macs)
    assert 0.8 < once.share < 1.0
    everywhere = schedule_of(of_steps(THIN, THIN, THIN)).architecture
    assert everywhere is not None
    saved = (once.full_macs - once.macs, everywhere.full_macs - everywhere.macs)
    assert saved[1] == 3 * saved[0]


def test_the_identity_is_of_networks_and_tensors_not_of_counts() -> None:
    document = _repaired()
    identity = Schedule.from_dict(document).identity
    section = document["architecture"]
    other = {**document, "architecture": section | {"macs": section["macs"] - 1}}
    assert Schedule.from_dict(other).identity == identity
    other = {**document, "architecture": section | {"weights_sha256": "b" * 64}}
    assert Schedule.from_dict(other).identity != identity
    pruned, plain = (schedule_of(of_steps(*steps)) for steps in ((THIN,) * 3, (FULL, THIN, THIN)))
    assert len({identity, pruned.identity, plain.identity}) == 3


def _repaired() -> dict[str, Any]:
    """A document with three configurations, of which one reuses, repaired."""
    architecture = of_steps(FULL, THIN, REUSING, repair="ridge")
    return schedule_of(architecture, weights_sha256=SHA).to_dict()


def _edit(*path: str | int, value: object) -> Callable[[dict[str, Any]], None]:
    def edit(document: dict[str, Any]) -> None:
        target: Any = document
        for part in path[:-1]:
            target = target[part]
        target[path[-1]] = value

    return edit


def _of(*path: str | int, value: object) -> Callable[[dict[str, Any]], None]:
    return _edit("architecture", *path, value=value)


NAME = THIN.choices[0][0]


@pytest.mark.parametrize(
    ("edit", "field"),
    [
        (_of("configurations", value=[]), "architecture.configurations"),
        (_of("configurations", value=[{}] * 4), "architecture.configurations"),
        (_of("configurations", 2, value={}), "architecture.configurations"),
        (_of("configurations", 1, NAME, "mode", value="half"), "architecture.configurations.1"),
        (_of("configurations", 1, NAME, "kept", value=[0, 2, 1]), f"[1].{NAME}.kept[2]"),
        (_of("configurations", 1, NAME, "kept", value=[0, 0]), f"[1].{NAME}.kept[1]"),
        (_of("configurations", 1, NAME, "kept", value=[]), f".1.{NAME}.groups.kept"),
        (_of("configurations", 1, NAME, "kept", value=[0, 1.5]), f".1.{NAME}.groups.kept.1"),
        (_of("configurations", 1, NAME, "extra", value=1), f".1.{NAME}.groups.extra"),
        (_of("of_step", value=[0, 1]), "architecture.calibration.times"),
        (_of("of_step", value=[0, 1, 3]), "architecture.of_step[2]"),
        (_of("of_step", value=[0, 1, -1]), "architecture.of_step.2"),
        (_of("of_step", value=[0, 1, True]), "architecture.of_step.2"),
        (_of("of_step", value=[0, 1, 1]), "architecture.configurations"),
        (_of("of_step", value=[0, 2, 1]), "architecture.of_step"),
        (_of("repair", value="magic"), "architecture.repair"),
        (_of("repair", value="none"), "architecture.calibration"),
        (_of("calibration", value=None), "architecture.calibration"),
        (_of("calibration", "solver", value="magic"), "architecture.calibration"),
        (_of("calibration", "solver", value="euler"), "architecture.calibration"),
        (_of("calibration", "times", value=[0.5, 0.0]), "architecture.calibration.times"),
        (_of("calibration", "num_images", value=0), "architecture.calibration.num_images"),
        (_of("calibration", "num_images", value=5000), "architecture.calibration"),
        (_of("calibration", "options", value={"eta": 9}), "architecture.calibration"),
        (_of("calibration", "more", value=1), "architecture.calibration.more"),
        (_of("weights_sha256", value=None), "architecture.weights_sha256"),
        (_of("weights_sha256", value="A" * 64), "architecture.weights_sha256"),
        (_of("weights_sha256", value="a" * 63), "architecture.weights_sha256"),
        (_of("weights_sha256", value="a" * 64 + "\n"), "architecture.weights_sha256"),
        (_of("macs", value=0), "architecture.macs"),
        (_of("macs", value=1.5), "architecture.macs"),
        (_of("full_macs", value=1), "architecture.macs"),
        (_of("surprise", value=1), "architecture.surprise"),
        (_edit("architecture", value=None), "program.nodes[1].network"),
        (_edit("architecture", value={}), "architecture.configurations"),
        (_edit("program", "nodes", 2, "network", value=1), "program.nodes[2].network"),
        (_edit("program", "nodes", 0, "network", value=1), "program.nodes[0].network"),
        (_edit("program", "nodes", 0, "network", value=-1), "program"),
    ],
)
def test_an_architecture_that_disagrees_is_refused_by_field(
    edit: Callable[[dict[str, Any]], None], field: str
) -> None:
    document = _repaired()
    Schedule.from_dict(document)
    edit(document)
    with pytest.raises(InvalidInput) as caught:
        Schedule.from_dict(document)
    found = caught.value.field
    assert found is not None
    is_named = found.endswith(field) if field[0] in "[." else found.startswith(field)
    assert is_named, (found, caught.value.message)


def test_an_architecture_for_another_number_of_steps_is_refused() -> None:
    section = schedule_of(of_steps(FULL, THIN, FULL)).architecture
    with pytest.raises(InvalidInput, match="3 entries'; allowed: one for each of 2") as caught:
        Schedule.build(
            TIMES[1:], model=CARD.document_section(), solver="ddim", architecture=section
        )
    assert caught.value.field == "architecture.of_step"


def test_the_full_network_at_every_step_is_null_in_documents() -> None:
    with pytest.raises(InvalidInput, match="for the full network, null"):
        ArchitectureSection.of(of_steps(FULL, FULL), macs=2, full_macs=2)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"macs": 3}, "architecture.macs"),
        ({"macs": 0}, "architecture.macs"),
        ({"weights_sha256": SHA}, "architecture.weights_sha256"),
        ({"weights_sha256": "A"}, "architecture.weights_sha256"),
    ],
)
def test_a_section_that_cannot_be_is_not_made(given: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        ArchitectureSection.of(of_steps(THIN, THIN), **{"macs": 1, "full_macs": 2, **given})
    assert caught.value.field == field, caught.value.message


class Constant:
    """Predicts one value, and counts its calls."""

    def __init__(self, value: float) -> None:
        self.value = value
        self.calls = 0

    def __call__(self, x: Tensor, at: StackedLevel, kind: Kind = "denoised") -> Tensor:
        self.calls += 1
        return torch.full_like(x, self.value)


def test_sampling_calls_the_denoiser_of_each_configuration() -> None:
    schedule, x = schedule_of(of_steps(FULL, THIN, FULL)), torch.zeros(2, 1, 8, 8)
    denoisers = [Constant(0.0), Constant(1.0)]
    found = schedule.sample(denoisers, x)
    assert [each.calls for each in denoisers] == [2, 1]
    assert torch.equal(found, run(schedule.trace(), denoisers, x))


@pytest.mark.parametrize("count", [None, 0, 1, 3])
def test_a_pruned_schedule_takes_a_denoiser_for_each_configuration(count: int | None) -> None:
    schedule, x = schedule_of(of_steps(FULL, THIN, FULL)), torch.zeros(2, 1, 8, 8)
    given = Constant(0.0) if count is None else [Constant(0.0)] * count
    with pytest.raises(InvalidInput, match="a sequence of 2, one for each") as caught:
        schedule.sample(given, x)
    assert caught.value.field == "denoiser"
    assert ("no sequence" if count is None else f"{count} of them") in caught.value.message


def test_a_schedule_of_the_full_network_takes_one_denoiser() -> None:
    schedule = Schedule.build(TIMES, model=CARD.document_section(), solver="ddim")
    x = torch.zeros(2, 1, 8, 8)
    assert torch.equal(schedule.sample(Constant(1.0), x), schedule.sample([Constant(1.0)], x))
    with pytest.raises(InvalidInput, match="2 of them; allowed: one"):
        schedule.sample([Constant(0.0), Constant(1.0)], x)


def test_chains_and_an_architecture_exclude_each_other() -> None:
    plan = ChainPlan(eta=0.5, num_skip=3, chains=64, burn_in=4, start_calls=8)
    guide = LevelGuideSection(name="levels", sha256="2" * 64)
    pruned = schedule_of(of_steps(FULL, THIN, THIN))
    with pytest.raises(InvalidInput, match="not with an architecture"):
        pruned.with_chains(plan, guide=guide, images=256)
    plain = Schedule.build(TIMES, model=CARD.document_section(), solver="ddim")
    chains = plain.with_chains(plan, guide=guide, images=256).to_dict()["chains"]
    with pytest.raises(InvalidInput) as caught:
        Schedule.from_dict(pruned.to_dict() | {"chains": chains})
    assert caught.value.field == "chains"
