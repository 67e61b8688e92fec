"""Small networks of both libraries, with values by formula."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

from fewstep.networks.adm.config import UNetConfig
from fewstep.networks.adm.unet import UNet
from fewstep.networks.pruning.blocks import PrunableBlock, adm_blocks
from fewstep.networks.pruning.cache import BodyCache
from fewstep.networks.pruning.configuration import BlockChoice, NetworkConfiguration
from fewstep.networks.pruning.diffusers_unets import diffusers_blocks, sliced_diffusers
from fewstep.networks.pruning.slicing import sliced
from tests.unit.networks.adm.seeded import fill

_ADM: dict[str, dict[str, bool | int]] = {
    "adm": {},
    "adm-scale-shift": {"use_scale_shift_norm": True, "use_new_attention_order": True},
    "adm-updown": {"resblock_updown": True, "use_scale_shift_norm": True, "num_classes": 3},
    "adm-pooled": {"conv_resample": False, "use_new_attention_order": True},
}
_RESNETS_2D: dict[str, Any] = {
    "down_block_types": ("ResnetDownsampleBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "ResnetUpsampleBlock2D"),
    "resnet_time_scale_shift": "scale_shift",
    "num_class_embeds": 3,
}
_PLAIN_2D: dict[str, Any] = {
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "mid_block_scale_factor": 1.5,
}
_CONDITION: dict[str, Any] = {
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "cross_attention_dim": 12,
}
_DIFFUSERS: dict[str, tuple[type[nn.Module], dict[str, Any]]] = {
    "diffusers-2d": (UNet2DModel, _PLAIN_2D),
    "diffusers-2d-scale-shift": (UNet2DModel, _RESNETS_2D),
    "diffusers-condition": (UNet2DConditionModel, _CONDITION),
}
NAMES = (*_ADM, *_DIFFUSERS)


@dataclass(frozen=True)
class Case:
    """A network, its blocks, and one call of it."""

    network: nn.Module
    blocks: tuple[PrunableBlock, ...]
    inputs: tuple[Tensor, ...]

    def run(self, network: nn.Module | None = None, *, shift: float = 0.0) -> Tensor:
        """Call the case's network or one made from it; `shift` moves the states."""
        x, *others = self.inputs
        with torch.no_grad():
            answer = (self.network if network is None else network)(x + shift, *others)
        predicted: Tensor = answer if isinstance(answer, Tensor) else answer.sample
        return predicted

    def cut(self, choices: dict[str, BlockChoice], *, bodies: BodyCache | None = None) -> nn.Module:
        """The network under a configuration."""
        configuration = NetworkConfiguration.of(choices)
        if isinstance(self.network, UNet):
            return sliced(self.network, configuration, cache=bodies)
        return sliced_diffusers(self.network, configuration, cache=bodies)

    def of_kind(self, kind: str) -> list[PrunableBlock]:
        """Its blocks of one kind."""
        return [block for block in self.blocks if block.kind == kind]


@cache
def case(name: str, dtype: torch.dtype = torch.float64) -> Case:
    """One of `NAMES`; the same object each time, for no test may change it."""
    if name in _ADM:
        return _adm_case(name, dtype)
    return _diffusers_case(name, dtype)


def _states(channels: int, dtype: torch.dtype) -> Tensor:
    return torch.cos(torch.arange(2 * channels * 64, dtype=dtype) * 1.237).reshape(2, -1, 8, 8)


def _adm_case(name: str, dtype: torch.dtype) -> Case:
    config = UNetConfig(
        in_channels=2,
        model_channels=16,
        out_channels=2,
        num_res_blocks=1,
        attention_resolutions=(2,),
        channel_mult=(1, 2),
        norm_groups=4,
        num_head_channels=8,
        **_ADM[name],  # type: ignore[arg-type]
    )
    network = UNet(config).eval()
    fill(network)
    inputs = (_states(2, dtype), torch.tensor([3.0, 871.5]))
    labels = () if config.num_classes is None else (torch.tensor([0, 2]),)
    return Case(network.to(dtype), adm_blocks(config), (*inputs, *labels))


def _diffusers_case(name: str, dtype: torch.dtype) -> Case:
    kind, options = _DIFFUSERS[name]
    network = kind(
        sample_size=8,
        in_channels=2,
        out_channels=2,
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=8 if kind is UNet2DModel else 4,
        **options,
    ).eval()
    fill(network)
    network = network.to(dtype)
    inputs = [_states(2, dtype), torch.tensor([3, 871])]
    if kind is UNet2DConditionModel:
        inputs.append(torch.sin(torch.arange(2 * 5 * 12, dtype=dtype)).reshape(2, 5, 12))
    elif "num_class_embeds" in options:
        inputs.append(torch.tensor([0, 2]))
    return Case(network, diffusers_blocks(network), tuple(inputs))


def parts(layer: nn.Module) -> dict[str, nn.Module]:
    """The layers around the inner channels of a residual block, by what they do."""
    places = (
        {"into": "in_layers.2", "embed": "emb_layers.1", "norm": "out_layers.0"}
        | {"out": "out_layers.3"}
        if hasattr(layer, "in_layers")
        else {"into": "conv1", "embed": "time_emb_proj", "norm": "norm2", "out": "conv2"}
    )
    return {role: layer.get_submodule(place) for role, place in places.items()}


def weight(layer: nn.Module, name: str = "weight") -> Tensor:
    """One of a layer's tensors."""
    return layer.get_parameter(name)


def outward(layer: nn.Module) -> nn.Module:
    """The layer whose columns read the units of a block, and whose output is its body."""
    for place in ("out_layers.3", "conv2", "proj_out", "to_out.0", "net.2"):
        try:
            return layer.get_submodule(place)
        except AttributeError:
            continue
    raise AssertionError(type(layer))
