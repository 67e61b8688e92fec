"""What a search measures beside scores: surveys and seconds, measured once and then read as data.

A search that is run again must be told the same, wherever and whenever that is; seconds above all
are never the same twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from evaluators.measuring import PruningScorer, seconds_key, survey_key
from fewstep.networks.pruning.architecture import Repair
from fewstep.networks.pruning.calibration_plan import CalibrationPlan
from fewstep.networks.pruning.configuration import NetworkConfiguration
from search.journal import Journal
from space.survey import Importance, Survey


def surveyed(
    scorer: PruningScorer,
    journal: Journal,
    plan: CalibrationPlan,
    importance: Importance,
    repair: Repair,
) -> Survey:
    """The survey of a schedule's states; measured where the journal knows none.

    Raises:
        ScoringFailed: the machinery failed.
        Cancelled, LeaseLost: from the journal.
    """
    key = survey_key(scorer.task, plan, importance, repair)
    known = journal.measured([key])
    if key not in known:
        journal.check()
        survey = scorer.survey(plan, importance, repair)
        journal.keep_measured(key, "survey", survey.to_dict())
        known = journal.measured([key])  # another search may have been first
    return Survey.from_dict(cast("dict[str, object]", known[key]))


def measured_seconds(
    scorer: PruningScorer, journal: Journal, configurations: Sequence[NetworkConfiguration]
) -> list[float]:
    """Seconds of one network pass of one image for each configuration; errors as `surveyed`."""
    device = scorer.device_name()
    keys = [seconds_key(scorer.task, device, configuration) for configuration in configurations]
    known = journal.measured(keys)
    missing = {key: c for key, c in zip(keys, configurations, strict=True) if key not in known}
    if missing:
        journal.check()
        found = scorer.seconds(list(missing.values()))
        for key, seconds in zip(missing, found, strict=True):
            journal.keep_measured(key, "seconds", {"device": device, "seconds": seconds})
        known |= journal.measured(list(missing))
    return [float(cast("dict[str, float]", known[key])["seconds"]) for key in keys]
