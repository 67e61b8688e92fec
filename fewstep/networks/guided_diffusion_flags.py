"""The flags of the public guided-diffusion scripts, as options of the networks they stand for.

Ref: Dhariwal & Nichol 2021; defaults and derived values as in guided-diffusion's `script_util.py`.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fewstep.errors import InvalidInput
from fewstep.networks.adm.config import UNetConfig
from fewstep.networks.adm.encoder_config import POOLS, EncoderConfig

_IMAGE_CHANNELS = 3
_NUM_CLASSES = 1000  # ImageNet
_CLASSIFIER_HEAD_CHANNELS = 64
_MULTIPLES: dict[int, tuple[float, ...]] = {
    64: (1, 2, 3, 4),
    128: (1, 1, 2, 3, 4),
    256: (1, 1, 2, 2, 4, 4),
    512: (0.5, 1, 1, 2, 2, 4, 4),
}
_TRUE, _FALSE = ("yes", "true", "t", "y", "1"), ("no", "false", "f", "n", "0")
_UNSET = -1  # how the scripts say that a number is not given

Value = str | int | float | bool
Flags = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class _Flag:
    """One flag: its default in the scripts, and how its text is read."""

    default: Value
    read: Callable[[str, str], Value]  # name and text


def parse_flags(text: str) -> dict[str, str]:
    """Split `name=value ...`, or the scripts' own `--name value ...`, without judging the names.

    Raises:
        InvalidInput: a word that is neither, or a flag given twice.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InvalidInput(
            f"flags={text!r}: {error}; allowed: closed quotes", field="flags"
        ) from None
    flags: dict[str, str] = {}
    while words:
        name, is_pair, value = words.pop(0).partition("=")
        if name.startswith("--") and not is_pair and words:
            is_pair, value = "=", words.pop(0)
        name = name.removeprefix("--")
        if not is_pair or not name.isidentifier():
            raise InvalidInput(
                f"flags: {name!r} has no value; allowed: name=value or --name value", field="flags"
            )
        if name in flags:
            raise _bad(name, value, "given once")
        flags[name] = value
    return flags


def network_config(flags: Flags) -> UNetConfig | EncoderConfig:
    """The network that flags stand for: a classifier where any starts with `classifier_`.

    Raises:
        InvalidInput: as `unet_config` and `encoder_config`.
    """
    is_classifier = any(name.startswith("classifier_") for name in flags)
    return encoder_config(flags) if is_classifier else unet_config(flags)


def unet_config(flags: Flags) -> UNetConfig:
    """The diffusion model of these flags; others have the scripts' defaults.

    Raises:
        InvalidInput: an unknown flag, or a value that no such network has.
    """
    given = _read(flags, _UNET_FLAGS)
    size = int(given["image_size"])
    multiples = str(given["channel_mult"])
    return UNetConfig(
        in_channels=_IMAGE_CHANNELS,
        model_channels=int(given["num_channels"]),
        out_channels=2 * _IMAGE_CHANNELS if given["learn_sigma"] else _IMAGE_CHANNELS,
        num_res_blocks=int(given["num_res_blocks"]),
        attention_resolutions=_factors("attention_resolutions", given, size),
        dropout=float(given["dropout"]),
        channel_mult=_multiples_of(multiples) if multiples else _default_multiples(size),
        num_classes=_NUM_CLASSES if given["class_cond"] else None,
        num_heads=int(given["num_heads"]),
        num_head_channels=_optional(given["num_head_channels"]),
        num_heads_upsample=_optional(given["num_heads_upsample"]),
        use_scale_shift_norm=bool(given["use_scale_shift_norm"]),
        resblock_updown=bool(given["resblock_updown"]),
        use_new_attention_order=bool(given["use_new_attention_order"]),
    )


def encoder_config(flags: Flags) -> EncoderConfig:
    """The noisy classifier of these flags; others have the scripts' defaults.

    Raises:
        InvalidInput: an unknown flag, or a value that no such network has.
    """
    given = _read(flags, _ENCODER_FLAGS)
    size, pool = int(given["image_size"]), str(given["classifier_pool"])
    for name in POOLS:
        if name == pool:
            return EncoderConfig(
                image_size=size,
                in_channels=_IMAGE_CHANNELS,
                model_channels=int(given["classifier_width"]),
                out_channels=_NUM_CLASSES,
                num_res_blocks=int(given["classifier_depth"]),
                attention_resolutions=_factors("classifier_attention_resolutions", given, size),
                channel_mult=_default_multiples(size),
                num_head_channels=_CLASSIFIER_HEAD_CHANNELS,
                use_scale_shift_norm=bool(given["classifier_use_scale_shift_norm"]),
                resblock_updown=bool(given["classifier_resblock_updown"]),
                pool=name,
            )
    raise _bad("classifier_pool", pool, f"one of: {', '.join(POOLS)}")


def _read(flags: Flags, known: Mapping[str, _Flag]) -> dict[str, Value]:
    unknown = sorted(set(flags) - set(known))
    if unknown:
        allowed = ", ".join(sorted(known))
        raise InvalidInput(
            f"{unknown[0]}={flags[unknown[0]]!r}: unknown flag; allowed: {allowed}",
            field=unknown[0],
        )
    given = {
        name: flag.read(name, str(flags[name])) for name, flag in known.items() if name in flags
    }
    return {name: given.get(name, flag.default) for name, flag in known.items()}


def _default_multiples(size: int) -> tuple[float, ...]:
    if size not in _MULTIPLES:
        raise _bad("image_size", size, f"one of {', '.join(map(str, _MULTIPLES))}, or channel_mult")
    return _MULTIPLES[size]


def _multiples_of(text: str) -> tuple[float, ...]:
    values = [_number("channel_mult", word) for word in text.split(",")]
    if min(values) <= 0.0:
        raise _bad("channel_mult", text, "positive numbers separated by commas")
    return tuple(int(value) if value.is_integer() else value for value in values)


def _factors(name: str, given: Mapping[str, Value], size: int) -> tuple[int, ...]:
    """Sides of feature maps as downsample factors, rounded down as the scripts do."""
    sides = [_count(name, word) for word in str(given[name]).split(",")]
    if max(sides) > size:
        raise _bad(name, given[name], f"sides up to image_size={size}, separated by commas")
    return tuple(size // side for side in sides)


def _optional(value: Value) -> int | None:
    return None if value == _UNSET else int(value)


def _count(name: str, text: str) -> int:
    if not (text.strip().isdecimal() and len(text) < 10 and int(text) > 0):
        raise _bad(name, text, "a positive integer")
    return int(text)


def _count_or_unset(name: str, text: str) -> int:
    return _UNSET if text.strip() == str(_UNSET) else _count(name, text)


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _bad(name, text, "a number")
    return value


def _switch(name: str, text: str) -> bool:
    if text.lower() not in (*_TRUE, *_FALSE):
        raise _bad(name, text, "True or False")
    return text.lower() in _TRUE


def _text(name: str, text: str) -> str:  # noqa: ARG001
    return text


def _bad(name: str, value: object, allowed: str) -> InvalidInput:
    return InvalidInput(f"{name}={value!r}: not allowed; allowed: {allowed}", field=name)


# Of the diffusion process: taken by all scripts; networks differ by learn_sigma alone.
_DIFFUSION_FLAGS = {
    "learn_sigma": _Flag(False, _switch),
    "diffusion_steps": _Flag(1000, _count),
    "noise_schedule": _Flag("linear", _text),
    "timestep_respacing": _Flag("", _text),
    "use_kl": _Flag(False, _switch),
    "predict_xstart": _Flag(False, _switch),
    "rescale_timesteps": _Flag(False, _switch),
    "rescale_learned_sigmas": _Flag(False, _switch),
}
_UNET_FLAGS = {
    **_DIFFUSION_FLAGS,
    "use_checkpoint": _Flag(False, _switch),
    "use_fp16": _Flag(False, _switch),
    "image_size": _Flag(64, _count),
    "num_channels": _Flag(128, _count),
    "num_res_blocks": _Flag(2, _count),
    "num_heads": _Flag(4, _count),
    "num_heads_upsample": _Flag(_UNSET, _count_or_unset),
    "num_head_channels": _Flag(_UNSET, _count_or_unset),
    "attention_resolutions": _Flag("16,8", _text),
    "channel_mult": _Flag("", _text),
    "dropout": _Flag(0.0, _number),
    "class_cond": _Flag(False, _switch),
    "use_scale_shift_norm": _Flag(True, _switch),
    "resblock_updown": _Flag(False, _switch),
    "use_new_attention_order": _Flag(False, _switch),
}
_ENCODER_FLAGS = {
    **_DIFFUSION_FLAGS,
    "image_size": _Flag(64, _count),
    "classifier_use_fp16": _Flag(False, _switch),
    "classifier_width": _Flag(128, _count),
    "classifier_depth": _Flag(2, _count),
    "classifier_attention_resolutions": _Flag("32,16,8", _text),
    "classifier_use_scale_shift_norm": _Flag(True, _switch),
    "classifier_resblock_updown": _Flag(True, _switch),
    "classifier_pool": _Flag("attention", _text),
}
