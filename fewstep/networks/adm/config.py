"""What an ADM UNet is, as plain values: the options of the public guided-diffusion `UNetModel`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from fewstep.networks.adm.fields import LISTS, bad_option, check_counts, typed_fields


@dataclass(frozen=True, slots=True, kw_only=True)
class UNetConfig:
    """Options of an ADM UNet, named as in guided-diffusion.

    Raises:
        InvalidInput: a value is out of range, or widths do not divide into groups or heads.
    """

    in_channels: int
    model_channels: int
    out_channels: int  # twice in_channels where the variance is learned
    num_res_blocks: int
    attention_resolutions: tuple[int, ...]  # as downsample factors: 2 means half the image side
    dropout: float = 0.0
    channel_mult: tuple[float, ...] = (1, 2, 4, 8)
    conv_resample: bool = True  # False: resample by pooling and repetition alone
    num_classes: int | None = None  # rows of the label table, a null label's row included
    num_heads: int = 1
    num_head_channels: int | None = None  # where set, overrides num_heads
    num_heads_upsample: int | None = None  # heads in the decoder; None: as num_heads
    use_scale_shift_norm: bool = False
    resblock_updown: bool = False  # resample inside residual blocks
    use_new_attention_order: bool = False  # q, k, v split before heads
    norm_groups: int = 32  # fixed at 32 in guided-diffusion

    def __post_init__(self) -> None:
        _check_counts(self)
        for width in self.widths:
            _check_divides("norm_groups", self.norm_groups, width)
        _check_heads(self)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels per level, finest first."""
        return tuple(int(mult * self.model_channels) for mult in self.channel_mult)

    @property
    def embedding_channels(self) -> int:
        """Width of the time and label embedding."""
        return 4 * self.model_channels

    @property
    def downsample_factor(self) -> int:
        """The image side must be a multiple of this."""
        return int(2 ** (len(self.channel_mult) - 1))

    def heads(self, channels: int, *, decoder: bool = False) -> int:
        """Attention heads of a block `channels` wide."""
        if self.num_head_channels is not None:
            return channels // self.num_head_channels
        if decoder and self.num_heads_upsample is not None:
            return self.num_heads_upsample
        return self.num_heads

    def to_dict(self) -> dict[str, object]:
        """JSON-ready fields; `from_dict` reads them back."""
        values = asdict(self)
        return {**values, **{name: list(values[name]) for name in LISTS}}

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> UNetConfig:
        """Build from JSON fields.

        Raises:
            InvalidInput: a field is unknown, missing or of the wrong type.
        """
        return cls(**typed_fields(cls, values))


def _check_counts(config: UNetConfig) -> None:
    required = ("in_channels", "model_channels", "out_channels", "num_res_blocks", "num_heads")
    check_counts(config, (*required, "norm_groups"))
    optional = ("num_classes", "num_head_channels", "num_heads_upsample")
    check_counts(config, optional, may_be_none=True)
    if not config.channel_mult or min(config.widths) < 1:
        raise bad_option(
            "channel_mult", list(config.channel_mult), "at least one positive multiple"
        )
    if not 0.0 <= config.dropout < 1.0:
        raise bad_option("dropout", config.dropout, "0 <= dropout < 1")


def _check_heads(config: UNetConfig) -> None:
    """Heads must divide the channels wherever there is attention; the middle always has it."""
    attended = [w for i, w in enumerate(config.widths) if 2**i in config.attention_resolutions]
    for width in (*attended, config.widths[-1]):
        if config.num_head_channels is not None:
            _check_divides("num_head_channels", config.num_head_channels, width)
        else:
            _check_divides("num_heads", config.num_heads, width)
    if config.num_head_channels is None and config.num_heads_upsample is not None:
        for width in attended:
            _check_divides("num_heads_upsample", config.num_heads_upsample, width)


def _check_divides(name: str, divisor: int, width: int) -> None:
    if width % divisor:
        allowed = f"a divisor of every level's channels, which include {width}"
        raise bad_option(name, divisor, allowed)
