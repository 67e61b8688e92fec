"""The full network on the states of a calibration: moments for repairs, probes of its output."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

import torch
from torch import Tensor, nn

from evaluators.banks import NoiseBank
from evaluators.guided_networks import labels_of
from evaluators.measuring import CALIBRATION_BANK, calibration_program, network_calls
from evaluators.score import Task
from fewstep.networks.adm.unet import UNet
from fewstep.networks.guided_model import GuidedModel
from fewstep.networks.pruning.calibration import Calibration, calibrate
from fewstep.networks.pruning.calibration_plan import CalibrationPlan
from fewstep.networks.pruning.output_probe import OutputProbe, probe_at
from fewstep.networks.pruning.trajectory import Denoise, InBatches, Switch, run_told
from fewstep.process import Process
from fewstep.program import Program

# A stage's own, and that of the stage before it, whose points may be scored beside: moments of one
# take 46 MB for the bundled digits, 221 MB for the bundled photographs, gigabytes for large models.
KEPT_CALIBRATIONS = 2
# In one pass of a calibration. Every value that a 3x3 convolution reads is written out 9 times in
# float64: 16 images of 64x64 with 192 channels are 0.9 GB. Sums are taken pass by pass, so another
# number changes their last bits, and with them repaired weights: see SCORING_VERSION.
ROWS = 16
# One forward is made for each width and body, a hundred for one band, so fewer images than moments
# are taken on: errors of cuts differ by orders of magnitude, means of 32 images by a tenth.
PROBE_IMAGES = 32


class Calibrator:
    """Runs calibration plans on the full network, and keeps the last moments. Threads may share it.

    Results are those of one thread, or of however many the task's numerics name: equal plans give
    equal bytes on any worker.
    """

    def __init__(
        self,
        task: Task,
        network: UNet,
        process: Process,
        model: Callable[[nn.Module], GuidedModel],
    ) -> None:
        self.network = network
        self._task = task
        self._process = process
        self._model = model
        self._kept: OrderedDict[CalibrationPlan, Calibration] = OrderedDict()
        self._lock = Lock()

    def moments(self, plan: CalibrationPlan) -> Calibration:
        """Moments of every block, in each band of the plan; whoever comes second waits for them.

        Raises:
            InvalidInput: the plan cannot be run for this task.
        """
        with self._lock:
            if plan not in self._kept:
                self._kept[plan] = self._calibrated(plan)
                if len(self._kept) > KEPT_CALIBRATIONS:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(plan)
            return self._kept[plan]

    def probes(self, plan: CalibrationPlan) -> list[OutputProbe]:
        """The network at the middle call of every band; the very first has no call before it.

        Raises:
            InvalidInput: the plan cannot be run for this task.
        """
        program = calibration_program(plan, self._task, self._process)
        by_band = network_calls(program, plan, self._task.guidance)
        with torch.inference_mode(mode=False):
            states = self._states(program, min(plan.num_images, PROBE_IMAGES))
            return [
                probe_at(
                    self.network,
                    program,
                    states.denoise,
                    states.x,
                    call=calls[len(calls) // 2],
                    noise=states.noise,
                    micro_batch=self._task.numerics.micro_batch,
                )
                for calls in by_band
            ]

    def final_change(self, plan: CalibrationPlan, band: int, cut: nn.Module) -> float:
        """Mean squared change of final images, per value, by a cut that runs in one band alone.

        Raises:
            InvalidInput: the plan cannot be run for this task.
        """
        program = calibration_program(plan, self._task, self._process)
        bands = [node.network for node in program.nodes]
        switches = (
            Switch(self.network, self.network, [False] * len(bands)),
            Switch(self.network, cut, [of_call == band for of_call in bands]),
        )
        with torch.inference_mode(mode=False):
            states = self._states(program, min(plan.num_images, PROBE_IMAGES))
            full, changed = (
                run_told(
                    program,
                    states.denoise(InBatches(switch, self._task.numerics.micro_batch)),
                    states.x,
                    noise=states.noise,
                    before=switch.before,
                ).double()
                for switch in switches
            )
            return float((changed - full).square().mean())

    def _calibrated(self, plan: CalibrationPlan) -> Calibration:
        program = calibration_program(plan, self._task, self._process)
        # A classifier's gradient cannot go through tensors that inference mode made.
        with torch.inference_mode(mode=False):
            states = self._states(program, plan.num_images)
            return calibrate(
                self.network,
                program,
                states.denoise,
                states.x,
                of_call=[node.network for node in program.nodes],
                noise=states.noise,
                micro_batch=ROWS,
            )

    def _states(self, program: Program, count: int) -> _States:
        """The first start states of the calibration bank, their labels and noise."""
        bank: NoiseBank = self._task.noise_bank(CALIBRATION_BANK)
        device = self._task.numerics.device
        labels = torch.from_numpy(labels_of(bank, 0, count)).to(device)
        drawn = [
            torch.from_numpy(bank.noise(0, count, term=term)).to(device)
            for term in (None, *range(program.noise_terms))
        ]
        return _States(
            x=drawn[0],
            noise=drawn[1:],
            denoise=lambda network: self._model(network).denoiser(
                labels, is_split=program.is_split
            ),
        )


@dataclass(frozen=True, slots=True)
class _States:
    """What a program starts from, and how a network answers it."""

    x: Tensor
    noise: list[Tensor]
    denoise: Denoise
