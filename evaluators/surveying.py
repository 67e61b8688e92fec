"""Surveys: which units matter, and what final images lose by each cut, band by band.

A cut is measured at one call alone, by how the network's output changes. What that does to final
images is another thing: the same change early on is amplified by what follows, or mended, and late
it hardly shows. So each band has a gain, measured once with a little of every block cut.
"""

from __future__ import annotations

from collections.abc import Mapping

from evaluators.calibrating import Calibrator
from evaluators.linear_algebra import one_blas_thread
from fewstep.networks.adm.unet import UNet
from fewstep.networks.pruning.architecture import Repair
from fewstep.networks.pruning.blocks import adm_blocks
from fewstep.networks.pruning.calibration import Calibration
from fewstep.networks.pruning.calibration_plan import CalibrationPlan
from fewstep.networks.pruning.configuration import BlockChoice, NetworkConfiguration
from fewstep.networks.pruning.importance import Scores, magnitude, ranking, reconstruction
from fewstep.networks.pruning.importance_sensitivity import output_sensitivity
from fewstep.networks.pruning.output_probe import OutputProbe
from fewstep.networks.pruning.repair import apply_repair, repaired
from fewstep.networks.pruning.slicing import sliced
from space.architecture_ladders import Ladder, ladders_of
from space.survey import BandSurvey, Importance, Survey


def survey_of(
    calibrator: Calibrator, plan: CalibrationPlan, importance: Importance, repair: Repair
) -> Survey:
    """Measure every band of a plan.

    Costs, band by band, a forward for each width of each block, three for each body (without it,
    and two to reuse it) and a run of the schedule.

    Raises:
        InvalidInput: the plan cannot be run for the calibrator's task.
    """
    probes = calibrator.probes(plan)
    scores = _scores(calibrator, plan, importance, probes)
    moments = None if repair == "none" else calibrator.moments(plan)
    bands = []
    for place, (by_block, probe) in enumerate(zip(scores, probes, strict=True)):
        band = _Band(probe, ranking(by_block), moments, place, repair)
        bands.append(band.survey(_gain(calibrator, plan, band)))
    return Survey(calibration=plan, importance=importance, repair=repair, bands=tuple(bands))


def _gain(calibrator: Calibrator, plan: CalibrationPlan, band: _Band) -> float:
    """The change of final images by one step of a band, over that of the output there.

    With a little of every block cut.
    """
    cut, steps = band.little(), plan.band_of_step.count(band.band)
    of_images, of_output = calibrator.final_change(plan, band.band, cut), band.probe.change(cut)
    return of_images / (steps * of_output) if of_output > 0.0 else 1.0


class _Band:
    """Cuts one block at a time, at one call, and repairs what is left of it."""

    def __init__(
        self,
        probe: OutputProbe,
        rankings: Mapping[str, tuple[int, ...]],
        moments: Calibration | None,
        band: int,
        repair: Repair,
    ) -> None:
        self.probe = probe
        self.rankings = rankings
        self.moments = moments
        self.band = band
        self.repair = repair
        self.blocks = adm_blocks(probe.network.config)

    def survey(self, gain: float) -> BandSurvey:
        """All widths and all bodies; a gain turns changes of outputs into errors."""
        bodies = [block for block in self.blocks if block.can_be_removed]
        reused = {block.name: self.probe.change_by_reuse(block) for block in bodies}
        return BandSurvey(
            rankings=self.rankings,
            kept_errors={
                ladder.block.name: {
                    units: gain * self._change({ladder.block.name: choice})
                    for units, choice in self._widths(ladder)
                }
                for ladder in ladders_of(self.blocks)
            },
            body_errors={b.name: gain * self._change({b.name: _REMOVED}) for b in bodies},
            reuse_errors={
                name: gain * change for name, change in reused.items() if change is not None
            },
        )

    def little(self) -> UNet:
        """With the least cut of every block that a search tries."""
        widths = ((ladder.block.name, self._widths(ladder)) for ladder in ladders_of(self.blocks))
        return self._cut({name: choices[0][1] for name, choices in widths if choices})

    def _widths(self, ladder: Ladder) -> list[tuple[int, BlockChoice]]:
        """Numbers of units below the full one, and what they keep."""
        order = self.rankings[ladder.block.name]
        return [
            (units, ladder.choice(place, order))
            for place, units in enumerate(ladder.units)
            if place > 0
        ]

    def _change(self, choices: Mapping[str, BlockChoice]) -> float:
        return self.probe.change(self._cut(choices))

    def _cut(self, choices: Mapping[str, BlockChoice]) -> UNet:
        """The network that is left, repaired for this band."""
        network, configuration = self.probe.network, NetworkConfiguration.of(choices)
        cut = sliced(network, configuration)
        if self.moments is not None:
            with one_blas_thread():
                tensors = repaired(network, configuration, self.moments, [self.band], self.repair)
            apply_repair(cut, tensors)
        return cut


_REMOVED = BlockChoice("removed")


def _scores(
    calibrator: Calibrator,
    plan: CalibrationPlan,
    importance: Importance,
    probes: list[OutputProbe],
) -> list[Scores]:
    """What each band's units are ranked by."""
    match importance:
        case "magnitude":  # of weights, which are the same in every band
            return [magnitude(calibrator.network)] * len(probes)
        case "sensitivity":
            return [output_sensitivity(probe) for probe in probes]
        case "reconstruction":
            calibration = calibrator.moments(plan)
            with one_blas_thread():
                return [
                    reconstruction(calibrator.network, calibration, [band])
                    for band in range(len(probes))
                ]
