"""Calibration plans: canonical, checked, and a band for every call."""

from __future__ import annotations

from typing import Any

import pytest

from fewstep.errors import InvalidInput
from fewstep.networks.pruning.calibration_plan import CalibrationPlan
from fewstep.process import VPDiscrete

TIMES = (1.0, 0.7, 0.4, 0.2, 0.0)
PLAN = CalibrationPlan(solver="dpm-solver++-2m", times=TIMES, num_images=16)


def test_spellings_of_one_plan_are_equal() -> None:
    aliased = CalibrationPlan(solver="deis-tab0", times=TIMES)
    assert aliased == CalibrationPlan(solver="ddim", times=TIMES)
    spelled = CalibrationPlan(
        solver="dpm-solver++-2m", times=TIMES, options=(("order", 2),), num_images=16
    )
    assert (spelled, spelled.content_hash) == (PLAN, PLAN.content_hash)
    assert CalibrationPlan.from_dict(PLAN.to_dict()) == PLAN


def test_every_call_has_the_band_of_its_step() -> None:
    program = PLAN.program(VPDiscrete.linear())
    assert PLAN.band_of_step == (0, 0, 1, 2)
    assert [node.network for node in program.nodes] == [0, 0, 1, 2]
    assert CalibrationPlan(solver="ddim", times=(1.0, 0.5, 0.0)).band_of_step == (0, 1)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"solver": "dmp"}, "dmp"),
        ({"times": (1.0,)}, "times"),
        ({"times": (1.0, float("nan"))}, r"times\[1\]=nan"),
        ({"times": (1.0, True)}, r"times\[1\]=True"),
        ({"options": (("flavour", 1),)}, "flavour"),
        ({"num_images": 0}, "num_images=0; allowed: 1 to 4096"),
        ({"num_images": 1.0}, "num_images=1.0"),
    ],
)
def test_what_no_schedule_has_is_refused(changes: dict[str, Any], problem: str) -> None:
    values: dict[str, Any] = {"solver": "ddim", "times": TIMES} | changes
    with pytest.raises(InvalidInput, match=problem):
        CalibrationPlan(**values)


@pytest.mark.parametrize("document", [None, [], {}, PLAN.to_dict() | {"times": 1}])
def test_documents_of_another_shape_are_refused(document: Any) -> None:
    with pytest.raises(InvalidInput, match="calibration"):
        CalibrationPlan.from_dict(document)
