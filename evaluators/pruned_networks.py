"""The networks that an architecture names, cut from the full one when they are first needed."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from torch import nn

from fewstep.networks.adm.unet import UNet
from fewstep.networks.pruning.architecture import Architecture
from fewstep.networks.pruning.cache import BodyCache
from fewstep.networks.pruning.slicing import sliced

_KEPT = 8  # architectures whose networks stay, the last used ones


class PrunedNetworks:
    """Cuts networks from a full one. Threads may share it.

    Networks hold copies of what was cut and share all else. Those that reuse bodies are made anew
    each time: the bodies they keep belong to one batch.
    """

    def __init__(self, network: UNet) -> None:
        self._network = network
        self._kept: OrderedDict[Architecture, list[nn.Module]] = OrderedDict()
        self._lock = Lock()

    def of(self, architecture: Architecture) -> list[nn.Module]:
        """One network for each configuration, in their order.

        Raises:
            InvalidInput: a configuration does not fit the network.
        """
        with self._lock:
            if architecture in self._kept:
                self._kept.move_to_end(architecture)
                return self._kept[architecture]
            cache = BodyCache.between(architecture.configurations)
            networks: list[nn.Module] = [
                sliced(self._network, configuration, cache=cache if cache.names else None)
                for configuration in architecture.configurations
            ]
            if not cache.names:
                self._kept[architecture] = networks
                if len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
            return networks
