"""Moments of what a block's last layer reads, on the states that a schedule really visits.

From them follow the importance of units (`importance`) and the repair of what is left of a block
(`repair`), without a further call of the network.
Ref: Frantar & Alistarh 2022 (Optimal Brain Compression): a layer's Hessian is made of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import unfold

from fewstep.canonical import content_hash
from fewstep.errors import InvalidInput
from fewstep.networks.adm.unet import UNet
from fewstep.networks.pruning.blocks import PrunableBlock, adm_blocks
from fewstep.networks.pruning.cutting import shared_copy
from fewstep.networks.pruning.moments import Moments
from fewstep.networks.pruning.slicing import check_full, end_of_body
from fewstep.networks.pruning.tensor_files import content_of, read_tensors, sha256_of
from fewstep.networks.pruning.trajectory import Denoise, InBatches, run_told
from fewstep.program import Program

METADATA_KEY = "fewstep-calibration"
FORMAT_VERSION = 1
KERNEL_TAPS = 9  # of the 3x3 convolution that ends a residual body
# Side of the largest matrix of unfolded moments: 42 MB in float64.
MAX_UNFOLDED = 2304


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Moments of every block, for each band of the calls of a program.

    Attributes:
        bands: By band, then by block name.
        program: Hash of the program that visited the states.
        of_call: The band of each of its nodes.
        num_images: How many start states it was run from.
    """

    bands: tuple[Mapping[str, Moments], ...]
    program: str
    of_call: tuple[int, ...]
    num_images: int

    def pooled(self, bands: Iterable[int]) -> dict[str, Moments]:
        """Moments by block name over several bands; one named twice counts once.

        Raises:
            InvalidInput: no band, or one that there is not.
        """
        chosen = sorted(set(bands))
        if not chosen or chosen[0] < 0 or chosen[-1] >= len(self.bands):
            raise InvalidInput(
                f"bands={chosen}: allowed: one or more of 0 to {len(self.bands) - 1}",
                field="bands",
            )
        first, *others = (self.bands[band] for band in chosen)
        return {
            name: sum((other[name] for other in others), start=moments)
            for name, moments in first.items()
        }

    def content(self) -> bytes:
        """The file; equal moments give equal bytes."""
        tensors = {
            f"{band}.{name}.{part}": torch.from_numpy(getattr(moments, part))
            for band, blocks in enumerate(self.bands)
            for name, moments in blocks.items()
            for part in _PARTS
        }
        metadata = {
            "version": FORMAT_VERSION,
            "program": self.program,
            "of_call": list(self.of_call),
            "num_images": self.num_images,
            "taps": {name: moments.taps for name, moments in self.bands[0].items()},
            "counts": [{name: m.count for name, m in blocks.items()} for blocks in self.bands],
        }
        return content_of(tensors, key=METADATA_KEY, metadata=metadata)

    @property
    def sha256(self) -> str:
        """Of the file: the identity of these moments."""
        return sha256_of(self.content())

    def save(self, path: Path) -> str:
        """Write one safetensors file and return its SHA-256."""
        content = self.content()
        path.write_bytes(content)
        return sha256_of(content)


_PARTS = ("total", "products", "output")


def calibrate(
    network: UNet,
    program: Program,
    denoise: Denoise,
    x: Tensor,
    *,
    of_call: Sequence[int],
    noise: Sequence[Tensor] = (),
    micro_batch: int = 64,
    max_unfolded: int = MAX_UNFOLDED,
) -> Calibration:
    """Run a program with the full network and gather moments of every block.

    Sums are taken in float64, in a fixed order: equal calls give equal bytes, as long as torch
    uses one thread (or always as many). Rows of all passes count: two an image and call under
    classifier-free guidance.

    Args:
        network: the full one; it is not touched.
        program: what a schedule runs.
        denoise: makes the denoiser for all rows of `x` around a network.
        x: start states, (B, C, H, W).
        of_call: the band of each node of the program, 0 and up without gaps.
        noise: the unit-normal terms, each shaped like `x`.
        micro_batch: rows in one pass of the network, which bounds memory.
        max_unfolded: residual blocks whose rows would be longer keep moments of pixels (`taps=1`).

    Raises:
        InvalidInput: the network was cut before, or `of_call` is not one band a node.
    """
    check_full(network)
    _check_bands(program, of_call)
    blocks = adm_blocks(network.config)
    copy = shared_copy(network).eval()
    sums = _Sums()
    for block in blocks:
        taps = KERNEL_TAPS if block.kind == "residual" else 1
        taps = taps if taps * block.width <= max_unfolded else 1
        reader = _Reader(sums, block.name, taps)
        copy.get_submodule(end_of_body(block)).register_forward_hook(reader)

    def before(call: int) -> None:
        sums.band = of_call[call]

    run_told(program, denoise(InBatches(copy, micro_batch)), x, noise=noise, before=before)
    return Calibration(
        bands=tuple(sums.moments(band, blocks) for band in range(max(of_call) + 1)),
        program=content_hash(program.to_dict()),
        of_call=tuple(of_call),
        num_images=len(x),
    )


def load_calibration(path: Path) -> Calibration:
    """Read a calibration file.

    Raises:
        UnsafeCheckpoint: not a safetensors file.
        InvalidInput: no such file, or other tensors or metadata than those of a calibration.
    """
    tensors, metadata = read_tensors(
        path, key=METADATA_KEY, metadata=_Metadata, field="calibration"
    )
    names = {
        f"{band}.{name}.{part}"
        for band in range(len(metadata.counts))
        for name in metadata.taps
        for part in _PARTS
    }
    if set(tensors) != names or any(set(c) != set(metadata.taps) for c in metadata.counts):
        different = sorted(set(tensors) ^ names)[:3] or ["counts"]
        raise _damaged(path, ", ".join(different), "total, products and output of every block")
    return Calibration(
        bands=tuple(
            {name: _moments(path, tensors, metadata, band, name) for name in sorted(metadata.taps)}
            for band in range(len(metadata.counts))
        ),
        program=metadata.program,
        of_call=tuple(metadata.of_call),
        num_images=metadata.num_images,
    )


@dataclass(slots=True)
class _Sums:
    """What hooks add up, by band and block; on the network's device until it is all done."""

    band: int = 0
    counts: dict[tuple[int, str], int] = field(default_factory=dict)
    taps: dict[str, int] = field(default_factory=dict)
    tensors: dict[tuple[int, str], tuple[Tensor, Tensor, Tensor]] = field(default_factory=dict)

    def add(self, name: str, rows: Tensor, output: Tensor, taps: int) -> None:
        """Add rows (N, D) and outputs (N, C_out), float64."""
        key, found = (self.band, name), (rows.sum(0), rows.T @ rows, output.sum(0))
        self.taps[name] = taps
        self.counts[key] = self.counts.get(key, 0) + len(rows)
        if key not in self.tensors:
            self.tensors[key] = found
            return
        for total, term in zip(self.tensors[key], found, strict=True):
            total.add_(term)

    def moments(self, band: int, blocks: Sequence[PrunableBlock]) -> dict[str, Moments]:
        """What was added up in a band, by block name in their order."""
        found = {}
        for name in sorted(block.name for block in blocks):
            if (band, name) not in self.counts:
                raise InvalidInput(
                    f"of_call: no call of band {band} ran {name}; allowed: bands with a call of "
                    "the network",
                    field="of_call",
                )
            total, products, output = (t.cpu().numpy() for t in self.tensors[band, name])
            found[name] = Moments(
                count=self.counts[band, name],
                taps=self.taps[name],
                total=total,
                products=products,
                output=output,
            )
        return found


@dataclass(frozen=True, slots=True)
class _Reader:
    """A forward hook for the last layer of a body."""

    sums: _Sums
    name: str
    taps: int

    def __call__(self, module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:  # noqa: ARG002
        """Add what the layer read and put out."""
        read = inputs[0]
        read = unfold(read, 3, padding=1) if self.taps == KERNEL_TAPS else read.flatten(2)
        self.sums.add(self.name, _as_rows(read), _as_rows(output.flatten(2)), self.taps)


def _as_rows(columns: Tensor) -> Tensor:
    """(B, D, pixels) as (B * pixels, D) in float64."""
    return columns.double().transpose(1, 2).flatten(0, 1)


def _check_bands(program: Program, of_call: Sequence[int]) -> None:
    nodes, bands = len(program.nodes), set(of_call)
    if len(of_call) != nodes or bands != set(range(len(bands))):
        raise InvalidInput(
            f"of_call={list(of_call)}: allowed: a band for each of {nodes} nodes, from 0 without "
            "gaps",
            field="of_call",
        )


class _Metadata(BaseModel):
    """What the metadata of a calibration file must hold."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    version: Literal[1]
    program: str
    of_call: list[int]
    num_images: PositiveInt
    taps: dict[str, Literal[1, 9]]
    counts: list[dict[str, PositiveInt]]


def _moments(
    path: Path, tensors: Mapping[str, Tensor], metadata: _Metadata, band: int, name: str
) -> Moments:
    total, products, output = (tensors[f"{band}.{name}.{part}"] for part in _PARTS)
    taps, side = metadata.taps[name], total.numel()
    shapes = (tuple(total.shape), tuple(products.shape), output.dim())
    is_right = shapes == ((side,), (side, side), 1) and side > 0 and side % taps == 0
    for tensor in (total, products, output):
        is_right = is_right and tensor.dtype == torch.float64 and bool(tensor.isfinite().all())
    if not is_right:
        allowed = f"finite float64 of shapes (D,), (D, D), (C,), D a multiple of {taps}"
        raise _damaged(path, f"{band}.{name}", allowed)
    return Moments(
        count=metadata.counts[band][name],
        taps=taps,
        total=total.numpy(),
        products=products.numpy(),
        output=output.numpy(),
    )


def _damaged(path: Path, what: str, allowed: str) -> InvalidInput:
    return InvalidInput(
        f"calibration={path.name!r}: tensors {what} differ; allowed: {allowed}",
        field="calibration",
    )
