"""Architectures of documents against the network they are for, before any network is loaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fewstep.errors import ChecksFailed, InvalidInput
from fewstep.networks.pruning.configuration import BlockChoice, NetworkConfiguration
from fewstep.networks.pruning.documents import (
    architecture_section,
    check_architecture,
    check_weights,
)
from fewstep.networks.pruning.macs import adm_macs
from fewstep.schedule import Schedule
from fewstep.schedule_architecture import ArchitectureSection
from tests.pruned_documents import (
    BLOCKS,
    CARD,
    CONFIG,
    FULL,
    REUSING,
    THIN,
    TIMES,
    of_steps,
    schedule_of,
)

KEEPS_ALL = NetworkConfiguration.of(
    {BLOCKS[0].name: BlockChoice("groups", tuple(range(BLOCKS[0].units)))}
)
GIVEN: dict[str, Any] = {"model": CARD.document_section(), "times": TIMES, "solver": "ddim"}


@pytest.mark.parametrize("repair", ["none", "bias"])
def test_an_architecture_that_keeps_everything_is_no_section(repair: Any) -> None:
    architecture = of_steps(KEEPS_ALL, FULL, KEEPS_ALL, repair=repair)
    assert architecture_section(architecture, CONFIG, **GIVEN) is None


def test_choices_that_keep_everything_are_left_out() -> None:
    section = architecture_section(of_steps(KEEPS_ALL, THIN, FULL), CONFIG, **GIVEN)
    assert section is not None
    assert section.to_architecture() == of_steps(FULL, THIN, FULL)


def test_a_repair_of_choices_that_keep_everything_is_not_of_the_document() -> None:
    architecture = of_steps(KEEPS_ALL, THIN, FULL, repair="bias")
    with pytest.raises(InvalidInput, match="some choices keep everything") as caught:
        architecture_section(architecture, CONFIG, **GIVEN, weights_sha256="a" * 64)
    assert caught.value.field == "architecture.configurations"


def test_multiply_adds_are_those_of_each_steps_network() -> None:
    section = schedule_of(of_steps(THIN, FULL, REUSING)).architecture
    assert section is not None
    each = [adm_macs(CONFIG, c, 8).total.macs for c in (THIN, FULL, REUSING)]
    assert (section.macs, section.full_macs) == (sum(each), 3 * each[1])


def test_rows_of_a_learned_variance_do_not_run_and_do_not_count() -> None:
    learned = replace(CONFIG, out_channels=2 * CONFIG.in_channels)
    architecture = of_steps(THIN, FULL, FULL)
    assert architecture_section(architecture, learned, **GIVEN) == architecture_section(
        architecture, CONFIG, **GIVEN
    )


def _tampered(schedule: Schedule, **changes: object) -> Schedule:
    document = schedule.to_dict()
    document["architecture"] |= changes
    return Schedule.from_dict(document)


ALIEN = {"nowhere.0": {"mode": "removed"}}
WIDE = {BLOCKS[1].name: {"mode": "groups", "kept": [0, 99]}}
HEADS = {BLOCKS[1].name: {"mode": "heads", "kept": [0]}}
UNEVEN = {BLOCKS[1].name: {"mode": "channels", "kept": [0]}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"configurations": [{}, ALIEN]}, r"nowhere\.0=unknown block; allowed: input_blocks"),
        ({"configurations": [{}, WIDE]}, r"kept\[1\]=99; allowed: an integer from 0 to 7"),
        ({"configurations": [{}, HEADS]}, r"mode='heads'; allowed: groups, channels"),
        ({"configurations": [{}, UNEVEN]}, r"as many channels in each of 8 groups"),
        ({"configurations": [{}, KEEPS_ALL.to_dict()]}, "some choices keep everything"),
        (
            {"configurations": [REUSING.to_dict(), THIN.to_dict()]},
            "mode at step 0='reused'; allowed: after a step that runs the body",
        ),
        ({"macs": 12345}, r"architecture\.macs=12345: the networks take \d+"),
        ({"full_macs": 10**12}, r"architecture\.full_macs=1000000000000: the networks take \d+"),
    ],
)
def test_what_the_network_has_not_is_refused_and_named(
    changes: dict[str, object], message: str
) -> None:
    schedule = schedule_of(of_steps(FULL, THIN, FULL))
    assert check_architecture(schedule, CONFIG) is schedule.architecture
    with pytest.raises(InvalidInput, match=message):
        check_architecture(_tampered(schedule, **changes), CONFIG)


def test_an_architecture_for_another_network_is_refused() -> None:
    schedule = schedule_of(of_steps(FULL, THIN, FULL))
    with pytest.raises(InvalidInput, match=r"architecture\.macs=\d+: the networks take \d+"):
        check_architecture(schedule, replace(CONFIG, model_channels=2 * CONFIG.model_channels))


def test_a_schedule_without_an_architecture_is_no_pruned_one() -> None:
    with pytest.raises(InvalidInput, match="allowed: a pruned schedule"):
        check_architecture(
            Schedule.build(TIMES, model=CARD.document_section(), solver="ddim"), CONFIG
        )


def _repaired_section(sha256: str) -> ArchitectureSection:
    architecture = of_steps(FULL, THIN, FULL, repair="bias")
    section = schedule_of(architecture, weights_sha256=sha256).architecture
    assert section is not None
    return section


def test_a_missing_file_of_tensors_says_where_it_is_to_be_had(tmp_path: Path) -> None:
    section = _repaired_section("b" * 64)
    for weights, said in [(None, "missing"), (tmp_path / "none", "is no file")]:
        with pytest.raises(InvalidInput, match=said) as caught:
            check_weights(section, weights)
        for part in ("fewstep weights ID", "GET /v1/schedules/{id}/weights", "b" * 64):
            assert part in caught.value.message
        assert caught.value.field == "weights"


def test_another_file_of_tensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"other")
    with pytest.raises(ChecksFailed, match="the file 'other' has 'd9298a10") as caught:
        check_weights(_repaired_section("b" * 64), tmp_path / "other")
    assert caught.value.field == "architecture.weights_sha256"


def test_a_file_that_nothing_reads_is_refused(tmp_path: Path) -> None:
    section = schedule_of(of_steps(FULL, THIN, FULL)).architecture
    assert section is not None
    check_weights(section, None)
    with pytest.raises(InvalidInput, match="nothing reads it"):
        check_weights(section, tmp_path / "other")
