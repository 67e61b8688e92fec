"""What an ADM UNet is, as plain values: the options of the public guided-diffusion `UNetModel`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from fewstep.errors import InvalidInput

_LISTS = ("attention_resolutions", "channel_mult")
_FLAGS = (
    "conv_resample",
    "use_scale_shift_norm",
    "resblock_updown",
    "use_new_attention_order",
)


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
        if self.num_head_channels is not None:
            _check_divides("num_head_channels", self.num_head_channels, self.widths[-1])

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
        return {**values, **{name: list(values[name]) for name in _LISTS}}

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> UNetConfig:
        """Build from JSON fields.

        Raises:
            InvalidInput: a field is unknown, missing or of the wrong type.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise InvalidInput(
                f"architecture.{unknown[0]}: unknown field; allowed: {', '.join(sorted(known))}",
                field="architecture",
            )
        kwargs = {name: _typed(name, value) for name, value in values.items()}
        try:
            return cls(**kwargs)  # type: ignore[arg-type]  # every field was typed just above
        except TypeError as error:
            raise InvalidInput(f"architecture: {error}", field="architecture") from error


def _typed(name: str, value: object) -> object:
    if name in _LISTS:
        if isinstance(value, list | tuple) and all(_is_number(item) for item in value):
            return tuple(value)
        raise _bad(name, value, "a list of numbers")
    if name in _FLAGS:
        if isinstance(value, bool):
            return value
        raise _bad(name, value, "true or false")
    if value is None or _is_number(value):
        return value
    raise _bad(name, value, "a number")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_counts(config: UNetConfig) -> None:
    required = ("in_channels", "model_channels", "out_channels", "num_res_blocks", "num_heads")
    for name in (*required, "norm_groups"):
        _check_count(name, getattr(config, name))
    for name in ("num_classes", "num_head_channels", "num_heads_upsample"):
        if getattr(config, name) is not None:
            _check_count(name, getattr(config, name))
    if not config.channel_mult or min(config.widths) < 1:
        raise _bad("channel_mult", list(config.channel_mult), "at least one positive multiple")
    if not 0.0 <= config.dropout < 1.0:
        raise _bad("dropout", config.dropout, "0 <= dropout < 1")


def _check_count(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 65_536:
        raise _bad(name, value, "an integer from 1 to 65536")


def _check_divides(name: str, divisor: int, width: int) -> None:
    if width % divisor:
        raise _bad(name, divisor, f"a divisor of every level's channels, which include {width}")


def _bad(name: str, value: object, allowed: str) -> InvalidInput:
    return InvalidInput(f"architecture.{name}={value!r}: must be {allowed}", field="architecture")
