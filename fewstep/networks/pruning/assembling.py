"""The networks of an architecture, cut from the full one and repaired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from fewstep.errors import InvalidInput
from fewstep.networks.adm.unet import UNet
from fewstep.networks.pruning.architecture import Architecture
from fewstep.networks.pruning.cache import BodyCache
from fewstep.networks.pruning.calibration import Calibration
from fewstep.networks.pruning.repair import apply_repair, repaired
from fewstep.networks.pruning.slicing import sliced

Repairs = Sequence[Mapping[str, Tensor]]
"""For each configuration of an architecture the tensors that its repair changes."""


def repairs_of(
    network: UNet, architecture: Architecture, calibration: Calibration
) -> list[dict[str, Tensor]]:
    """What every configuration's repair changes, from moments of the architecture's calibration.

    Raises:
        InvalidInput: the architecture or the moments do not fit the network.
    """
    return [
        repaired(
            network,
            configuration,
            calibration,
            architecture.bands_of(place),
            architecture.repair,
        )
        for place, configuration in enumerate(architecture.configurations)
    ]


def networks_of(network: UNet, architecture: Architecture, repairs: Repairs = ()) -> list[UNet]:
    """One network for each configuration, in order; what is whole is shared with the full one.

    Those that reuse bodies share a cache, which belongs to one batch at a time.

    Args:
        network: the full one; it is not touched.
        architecture: what runs at which steps.
        repairs: one for each configuration; none where the architecture asks for no repair.

    Raises:
        InvalidInput: the architecture or a repair does not fit the network, or repairs are missing.
    """
    wanted = 0 if architecture.repair == "none" else len(architecture.configurations)
    if len(repairs) != wanted:
        raise InvalidInput(
            f"repairs: {len(repairs)} of them; allowed: {wanted}, with repair "
            f"{architecture.repair!r} of {len(architecture.configurations)} configurations",
            field="repairs",
        )
    cache = BodyCache.between(architecture.configurations)
    made = [
        sliced(network, configuration, cache=cache if cache.names else None)
        for configuration in architecture.configurations
    ]
    for one, tensors in zip(made, repairs, strict=False):
        apply_repair(one, tensors)
    return made
