"""The networks that an architecture names, cut from the full one and repaired when first needed."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

import torch
from torch import Tensor, nn

from evaluators.calibrating import Calibrator
from evaluators.linear_algebra import one_blas_thread
from fewstep.networks.pruning.architecture import Architecture
from fewstep.networks.pruning.assembling import networks_of, repairs_of
from fewstep.networks.pruning.repair import repair_content

# Architectures, the last used ones. The tiles of one follow one another but for its last, which is
# not full, so 8 serve some slots at a time; each may hold copies of what it cuts of 3 networks, so
# all of a population would be too many.
KEPT_ARCHITECTURES = 8


class PrunedNetworks:
    """Cuts networks from a calibrator's full one and repairs them. Threads may share it.

    Networks hold copies of what was cut or repaired and share all else. Those that reuse bodies are
    made anew each time, with the repair that is kept: their bodies belong to one batch.
    """

    def __init__(self, calibrator: Calibrator) -> None:
        self._calibrator = calibrator
        self._kept: OrderedDict[Architecture, _Kept] = OrderedDict()
        self._lock = Lock()

    def of(self, architecture: Architecture) -> list[nn.Module]:
        """One network for each configuration, in their order.

        Raises:
            InvalidInput: a configuration or the calibration does not fit the network.
        """
        kept = self._of(architecture)
        if kept.networks is not None:
            return kept.networks
        return self._networks(architecture, kept.repairs)

    def repair_of(self, architecture: Architecture) -> bytes:
        """The file with what the repair changes in each configuration.

        Raises:
            InvalidInput: as `of` does.
        """
        return repair_content(self._of(architecture).repairs)

    def _of(self, architecture: Architecture) -> _Kept:
        """What is kept of an architecture; one thread makes it while others wait."""
        with self._lock:
            if architecture not in self._kept:
                self._kept[architecture] = self._made(architecture)
                if len(self._kept) > KEPT_ARCHITECTURES:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(architecture)
            return self._kept[architecture]

    def _made(self, architecture: Architecture) -> _Kept:
        reuses = any(configuration.reused for configuration in architecture.configurations)
        repairs = self._repairs(architecture)
        return _Kept(repairs, None if reuses else self._networks(architecture, repairs))

    def _repairs(self, architecture: Architecture) -> list[dict[str, Tensor]]:
        if architecture.calibration is None:
            return []
        calibration = self._calibrator.moments(architecture.calibration)
        # Outside inference mode: what is kept outlives the scoring that first needed it.
        with torch.inference_mode(mode=False), one_blas_thread():
            return repairs_of(self._calibrator.network, architecture, calibration)

    def _networks(
        self, architecture: Architecture, repairs: list[dict[str, Tensor]]
    ) -> list[nn.Module]:
        with torch.inference_mode(mode=False):
            return list(networks_of(self._calibrator.network, architecture, repairs))


@dataclass(frozen=True, slots=True)
class _Kept:
    """What an architecture's repair changes, and its networks; None where they reuse bodies."""

    repairs: list[dict[str, Tensor]]
    networks: list[nn.Module] | None
