"""Convert a checkpoint: `python -m fewstep.networks.convert FILE.pt --out FILE.safetensors`.

Reads what torch.save wrote, runs nothing of it, and writes the same tensors as safetensors. With
the network's options (`--flags` of guided-diffusion's scripts, or `--config` JSON) names and shapes
are held against them first. Prints one JSON document on what was written.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from fewstep.errors import FewstepError, InvalidInput
from fewstep.networks.adm.config import UNetConfig
from fewstep.networks.adm.encoder_config import EncoderConfig
from fewstep.networks.adm.shapes import Shapes, encoder_tensor_shapes, tensor_shapes
from fewstep.networks.card import ARCHITECTURE_KIND
from fewstep.networks.checkpoint import check_shapes
from fewstep.networks.guided_diffusion_flags import network_config, parse_flags
from fewstep.networks.torch_zip import StoredTensor, TorchZip, open_torch_zip

ENCODER_KIND = "adm-encoder"
_TYPE_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_RESERVED = "__metadata__"  # not a tensor's name in safetensors
_ALIGNMENT = 8  # bytes; headers are padded to it

Config = UNetConfig | EncoderConfig


class _Item(NamedTuple):
    """One tensor to write."""

    name: str
    stored: StoredTensor
    dtype: torch.dtype

    @property
    def size_bytes(self) -> int:
        """Bytes it takes in the file."""
        return prod(self.stored.shape) * self.dtype.itemsize


def convert(
    source: Path,
    out: Path,
    *,
    key: str | None = None,
    is_half: bool = False,
    config: Config | None = None,
) -> dict[str, object]:
    """Write the tensors of a checkpoint as safetensors, at once or not at all.

    Takes the memory of the largest storage and the largest tensor.

    Args:
        source: What torch.save wrote (format of torch 1.6 and newer).
        out: The file to write; its name ends in .safetensors.
        key: Where the tensors are, if not at the top.
        is_half: Whether floating-point tensors become float16.
        config: The network whose tensors these must be.

    Returns:
        What was written, ready for JSON.

    Raises:
        UnsafeCheckpoint: the source is something else, or damaged.
        ChecksFailed: the tensors are not those of the network.
        InvalidInput: a wrong name or key, or values beyond float16.
    """
    if out.suffix != ".safetensors":
        raise InvalidInput(f"out={out.name!r}: allowed: a name ending in .safetensors", field="out")
    with open_torch_zip(source) as archive:
        tensors = archive.tensors(key)
        if config is not None:
            found = {name: tensor.shape for name, tensor in tensors.items()}
            check_shapes(source.name, found, shapes_of(config), of="the network described")
        items = _in_order(tensors, is_half=is_half)
        _write(out, items, _values(archive, items))
    return {
        "file": out.name,
        "sha256": _sha256(out),
        "tensors": len(items),
        "values": sum(prod(item.stored.shape) for item in items),
        "types": sorted({_TYPE_NAMES[item.dtype] for item in items}),
        **({} if config is None else {"architecture": architecture_of(config)}),
    }


def shapes_of(config: Config) -> Shapes:
    """Names and shapes of a network's tensors."""
    if isinstance(config, UNetConfig):
        return tensor_shapes(config)
    return encoder_tensor_shapes(config)


def architecture_of(config: Config) -> dict[str, object]:
    """The network as model cards describe it."""
    kind = ARCHITECTURE_KIND if isinstance(config, UNetConfig) else ENCODER_KIND
    return {"kind": kind, **config.to_dict()}


def config_from_json(text: str) -> Config:
    """The network that JSON describes: the object itself, or the name of a file with it.

    A card is read as well, by its `architecture`. `kind` may be left out of a UNet.

    Raises:
        InvalidInput: no JSON object, an unknown kind, or options that no such network has.
    """
    try:
        is_inline = text.lstrip().startswith("{")
        document = json.loads(text if is_inline else Path(text).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"config={text!r}: {error}; allowed: JSON, or a file of it", field="config"
        ) from error
    fields = document.get("architecture", document) if isinstance(document, dict) else None
    if not isinstance(fields, dict):
        raise InvalidInput(f"config={text!r}: allowed: a JSON object", field="config")
    options = {name: value for name, value in fields.items() if name != "kind"}
    match fields.get("kind", ARCHITECTURE_KIND):
        case "adm-unet":
            return UNetConfig.from_dict(options)
        case "adm-encoder":
            return EncoderConfig.from_dict(options)
        case kind:
            allowed = f"{ARCHITECTURE_KIND!r}, {ENCODER_KIND!r}"
            raise InvalidInput(f"config.kind={kind!r}: allowed: {allowed}", field="config")


def _in_order(tensors: dict[str, StoredTensor], *, is_half: bool) -> list[_Item]:
    """Wide types first, so that each tensor is aligned; those of one storage side by side."""
    if _RESERVED in tensors:
        raise InvalidInput(
            f"tensor {_RESERVED!r}: safetensors keeps this name for itself; allowed: others",
            field="file",
        )
    items = []
    for name, stored in tensors.items():
        dtype = stored.storage.dtype
        items.append(
            _Item(name, stored, torch.half if is_half and dtype.is_floating_point else dtype)
        )
    places = {item.stored.storage: place for place, item in reversed(list(enumerate(items)))}
    items.sort(key=lambda item: (-item.dtype.itemsize, places[item.stored.storage]))
    return items


def _values(archive: TorchZip, items: list[_Item]) -> Iterator[Tensor]:
    """The tensors in order, each storage read once while its tensors last."""
    storage, flat = None, torch.empty(0)
    for item in items:
        stored = item.stored
        if stored.storage != storage:
            del flat  # before the next is read
            storage, flat = stored.storage, archive.read(stored.storage)
        if item.size_bytes:
            yield _as_type(flat.as_strided(stored.shape, stored.stride, stored.offset), item)


def _as_type(view: Tensor, item: _Item) -> Tensor:
    values = torch.empty(view.shape, dtype=item.dtype).copy_(view)  # in order, whatever the strides
    if values.dtype != view.dtype and bool((values.isinf() & ~view.isinf()).any()):
        largest = view[~view.isinf()].abs().max().item()
        raise InvalidInput(
            f"tensor {item.name!r}: has values up to {largest:.3g}, beyond those of float16; "
            "allowed: up to 65504, or no --half",
            field="half",
        )
    return values


def _write(out: Path, items: list[_Item], values: Iterator[Tensor]) -> None:
    """Write tensor after tensor. Ref: the safetensors format."""
    partial = out.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            file.write(_header(items))
            for tensor in values:
                file.write(tensor.flatten().view(torch.uint8).numpy().data)
        os.replace(partial, out)
    except OSError as error:
        raise InvalidInput(
            f"out={out.name!r}: cannot be written ({error.strerror})", field="out"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _header(items: list[_Item]) -> bytes:
    entries, end = {}, 0
    for item in items:
        start, end = end, end + item.size_bytes
        entries[item.name] = {
            "dtype": _TYPE_NAMES[item.dtype],
            "shape": item.stored.shape,
            "data_offsets": [start, end],
        }
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main(arguments: list[str] | None = None) -> None:
    """Run the command line. Exit code 2 is bad input."""
    options = _parser().parse_args(arguments)
    try:
        config = None
        if options.flags is not None:
            config = network_config(parse_flags(options.flags))
        elif options.config is not None:
            config = config_from_json(options.config)
        written = convert(
            options.file, options.out, key=options.key, is_half=options.half, config=config
        )
    except FewstepError as error:
        sys.stderr.write(f"{error.message.encode('ascii', 'backslashreplace').decode()}\n")
        raise SystemExit(2) from error
    sys.stdout.write(json.dumps(written, indent=1) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fewstep.networks.convert", description=__doc__, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("file", type=Path, help="a checkpoint that torch.save wrote")
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors file to write")
    parser.add_argument("--key", help="the top-level key with the tensors, such as ema")
    parser.add_argument("--half", action="store_true", help="store float tensors as float16")
    network = parser.add_mutually_exclusive_group()
    network.add_argument("--flags", help="'image_size=64 ...' or '--image_size 64 ...'")
    network.add_argument("--config", help="JSON of the network's options, or a file of it")
    return parser


if __name__ == "__main__":
    main()
