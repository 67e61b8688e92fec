"""What an ADM encoder is, as plain values: the options of guided-diffusion's `EncoderUNetModel`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Literal, get_args

from fewstep.networks.adm.config import UNetConfig
from fewstep.networks.adm.fields import LISTS, bad_option, check_counts, typed_fields

Pool = Literal["adaptive", "attention", "spatial", "spatial_v2"]
POOLS: tuple[Pool, ...] = get_args(Pool)
SPATIAL_WIDTH = 2048  # hidden width of the spatial pools; fixed in guided-diffusion


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderConfig:
    """Options of an ADM encoder, named as in guided-diffusion: half a UNet, pooled to logits.

    Raises:
        InvalidInput: a value is out of range, or widths do not divide into groups or heads.
    """

    image_size: int  # side of the images; attention pooling is made for it alone
    in_channels: int
    model_channels: int
    out_channels: int  # classes
    num_res_blocks: int
    attention_resolutions: tuple[int, ...]  # as downsample factors: 2 means half the image side
    dropout: float = 0.0
    channel_mult: tuple[float, ...] = (1, 2, 4, 8)
    conv_resample: bool = True
    num_heads: int = 1
    num_head_channels: int | None = None  # where set, overrides num_heads
    use_scale_shift_norm: bool = False
    resblock_updown: bool = False
    use_new_attention_order: bool = False  # of the blocks; attention pooling always has the new one
    pool: Pool = "adaptive"
    norm_groups: int = 32  # fixed at 32 in guided-diffusion

    def __post_init__(self) -> None:
        if self.pool not in POOLS:
            raise bad_option("pool", self.pool, f"one of: {', '.join(POOLS)}")
        check_counts(self, ["image_size"])
        factor = self.torso.downsample_factor  # checks all that a UNet has as well
        if self.image_size % factor:
            raise bad_option("image_size", self.image_size, f"a multiple of {factor}")
        if self.pool == "attention" and self.num_head_channels is None:
            raise bad_option("num_head_channels", None, "a number where pool='attention'")
        if self.pool == "spatial_v2" and SPATIAL_WIDTH % self.norm_groups:
            raise bad_option("norm_groups", self.norm_groups, f"a divisor of {SPATIAL_WIDTH}")

    @property
    def torso(self) -> UNetConfig:
        """The UNet whose upper half this is; its decoder is not built."""
        own = {field.name for field in fields(self)} - {"image_size", "pool"}
        return UNetConfig(**{name: getattr(self, name) for name in own})

    @property
    def pooled_side(self) -> int:
        """Side of the feature map that is pooled."""
        return self.image_size // self.torso.downsample_factor

    def to_dict(self) -> dict[str, object]:
        """JSON-ready fields; `from_dict` reads them back."""
        values = asdict(self)
        return {**values, **{name: list(values[name]) for name in LISTS}}

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> EncoderConfig:
        """Build from JSON fields.

        Raises:
            InvalidInput: a field is unknown, missing or of the wrong type.
        """
        return cls(**typed_fields(cls, values))
