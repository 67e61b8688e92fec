"""Surveys: which units matter, and what the network's output loses without each, band by band."""

from __future__ import annotations

from collections.abc import Mapping

from evaluators.calibrating import Calibrator
from evaluators.linear_algebra import one_blas_thread
from fewstep.networks.pruning.calibration_plan import CalibrationPlan
from fewstep.networks.pruning.importance import Scores, magnitude, ranking, reconstruction
from fewstep.networks.pruning.importance_sensitivity import Sensitivity
from space.survey import BandSurvey, Importance, Survey


def survey_of(calibrator: Calibrator, plan: CalibrationPlan, importance: Importance) -> Survey:
    """Measure every band of a plan.

    Raises:
        InvalidInput: the plan cannot be run for the calibrator's task.
    """
    sensitivities = calibrator.sensitivities(plan)
    scores = _scores(calibrator, plan, importance, sensitivities)
    return Survey(
        calibration=plan,
        importance=importance,
        bands=tuple(
            BandSurvey(
                rankings=ranking(by_block),
                unit_errors=_plain(sensitivity.units),
                body_errors=dict(sensitivity.bodies),
                reuse_errors=dict(sensitivity.reused),
            )
            for by_block, sensitivity in zip(scores, sensitivities, strict=True)
        ),
    )


def _scores(
    calibrator: Calibrator,
    plan: CalibrationPlan,
    importance: Importance,
    sensitivities: list[Sensitivity],
) -> list[Scores]:
    """What each band's units are ranked by."""
    match importance:
        case "magnitude":  # of weights, which are the same in every band
            return [magnitude(calibrator.network)] * len(sensitivities)
        case "sensitivity":
            return [sensitivity.units for sensitivity in sensitivities]
        case "reconstruction":
            calibration = calibrator.moments(plan)
            with one_blas_thread():
                return [
                    reconstruction(calibrator.network, calibration, [band])
                    for band in range(len(sensitivities))
                ]


def _plain(scores: Scores) -> Mapping[str, tuple[float, ...]]:
    return {name: tuple(map(float, values)) for name, values in scores.items()}
