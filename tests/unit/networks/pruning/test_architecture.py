"""Architectures: canonical, limited, checked against blocks and steps."""

from __future__ import annotations

from typing import Any

import pytest

from fewstep.errors import InvalidInput
from fewstep.networks.pruning.architecture import Architecture
from fewstep.networks.pruning.blocks import adm_blocks
from fewstep.networks.pruning.calibration_plan import CalibrationPlan
from fewstep.networks.pruning.configuration import BlockChoice, NetworkConfiguration
from fewstep.networks.zoo.digits_recipe import DIGITS

BLOCKS = adm_blocks(DIGITS.unet)
FIRST = next(block for block in BLOCKS if block.kind == "residual")
FULL = NetworkConfiguration()
THIN = NetworkConfiguration.of({FIRST.name: BlockChoice("groups", (0, 2, 5))})
GONE = NetworkConfiguration.of({FIRST.name: BlockChoice("removed")})
REUSED = NetworkConfiguration.of({FIRST.name: BlockChoice("reused")})
PLAN = CalibrationPlan(solver="ddim", times=(1.0, 0.6, 0.3, 0.0))
WHOLE = NetworkConfiguration.of({FIRST.name: BlockChoice("groups", tuple(range(FIRST.units)))})


def test_configurations_are_kept_once_in_order_of_use() -> None:
    found = Architecture.of_steps([THIN, FULL, THIN, GONE])
    assert found.configurations == (THIN, FULL, GONE)
    assert found.of_step == (0, 1, 0, 2)
    shuffled = Architecture(configurations=(FULL, GONE, THIN), of_step=(2, 0, 2, 1))
    assert shuffled == found
    assert shuffled.content_hash == found.content_hash
    assert [found.at(step) for step in range(4)] == [THIN, FULL, THIN, GONE]


def test_json_reads_back_as_it_was() -> None:
    found = Architecture.of_steps([THIN, FULL, GONE], repair="ridge", calibration=PLAN)
    again = Architecture.from_dict(found.to_dict())
    assert again == found
    assert again.to_dict() == found.to_dict()
    assert Architecture.of_steps([THIN, FULL, GONE]).content_hash != found.content_hash


def test_what_keeps_everything_is_the_full_network() -> None:
    assert Architecture.of_steps([WHOLE, FULL]).normalised(BLOCKS, steps=2) is None
    mixed = Architecture.of_steps([WHOLE, THIN, FULL]).normalised(BLOCKS, steps=3)
    assert mixed == Architecture.of_steps([FULL, THIN, FULL])


@pytest.mark.parametrize(
    ("configurations", "of_step", "problem"),
    [
        ((), (), "configurations=0; allowed: 1 to 3"),
        ((FULL, THIN, GONE, REUSED), (0, 1, 2, 3), "configurations=4; allowed: 1 to 3"),
        ((FULL, FULL), (0, 1), "distinct ones, each used"),
        ((FULL, THIN), (0, 0), "distinct ones, each used"),
        ((FULL,), (0, 1), r"of_step\[1\]=1; allowed: an integer from 0 to 0"),
        ((FULL,), (True,), r"of_step\[0\]=True"),
        ((FULL,), (-1,), r"of_step\[0\]=-1"),
    ],
)
def test_what_no_schedule_can_run_is_refused(
    configurations: tuple[NetworkConfiguration, ...], of_step: tuple[int, ...], problem: str
) -> None:
    with pytest.raises(InvalidInput, match=problem):
        Architecture(configurations=configurations, of_step=of_step)


def test_first_step_has_nothing_to_reuse() -> None:
    with pytest.raises(InvalidInput, match="mode at step 0='reused'"):
        Architecture.of_steps([REUSED, FULL]).normalised(BLOCKS, steps=2)
    assert Architecture.of_steps([FULL, REUSED]).normalised(BLOCKS, steps=2) is not None
    with pytest.raises(InvalidInput, match="mode at step 1='reused'; allowed: after a step"):
        Architecture.of_steps([GONE, REUSED, FULL]).normalised(BLOCKS, steps=3)


def test_other_numbers_of_steps_and_unknown_blocks_are_refused() -> None:
    with pytest.raises(InvalidInput, match="'2 entries'; allowed: one for each of 3 steps"):
        Architecture.of_steps([THIN, FULL]).normalised(BLOCKS, steps=3)
    alien = NetworkConfiguration.of({"nowhere.0": BlockChoice("removed")})
    with pytest.raises(InvalidInput, match="nowhere"):
        Architecture.of_steps([alien]).normalised(BLOCKS, steps=1)


def test_a_repair_needs_a_calibration_of_as_many_steps_and_nothing_else_has_one() -> None:
    steps = [THIN, FULL, GONE]
    with pytest.raises(InvalidInput, match="calibration=None; allowed: an object with repair"):
        Architecture.of_steps(steps, repair="bias")
    with pytest.raises(InvalidInput, match="allowed: null with repair 'none'"):
        Architecture.of_steps(steps, calibration=PLAN)
    with pytest.raises(InvalidInput, match=r"calibration\.times='3 steps'; allowed: as many as"):
        Architecture.of_steps([THIN, FULL], repair="bias", calibration=PLAN)


def test_configurations_know_the_bands_of_calibration_that_they_run_in() -> None:
    times = (*tuple(1.0 - k / 7 for k in range(7)), 0.0)
    plan = CalibrationPlan(solver="ddim", times=times)
    assert plan.band_of_step == (0, 0, 0, 1, 1, 2, 2)
    steps = [FULL, FULL, THIN, THIN, GONE, FULL, FULL]
    found = Architecture.of_steps(steps, repair="ridge", calibration=plan)
    assert [found.bands_of(place) for place in range(3)] == [(0, 2), (0, 1), (1,)]
    assert Architecture.of_steps(steps).bands_of(0) == ()


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"configurations": [], "of_step": []},
        {"configurations": {}, "of_step": [], "repair": "none", "calibration": None},
        {"configurations": [{}], "of_step": [0], "repair": "magic", "calibration": None},
        {"configurations": [{}], "of_step": [0], "repair": "none"},
        {"configurations": [{}], "of_step": [0], "repair": "bias", "calibration": {}},
        {
            "configurations": [{"a": {"mode": "shrunk"}}],
            "of_step": [0],
            "repair": "none",
            "calibration": None,
        },
    ],
)
def test_documents_of_another_shape_are_refused(document: Any) -> None:
    with pytest.raises(InvalidInput):
        Architecture.from_dict(document)
