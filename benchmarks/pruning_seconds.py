"""Seconds of pruned networks beside their multiply-adds: what of a saving arrives.

    python -m benchmarks.pruning_seconds --model zoo:cifar10-16 \\
        --out benchmarks/results/pruning-seconds-cifar10-16.json

One pass of a batch, full network and pruned ones in turns within one process, so that whatever else
the machine does falls on all. Cut are: all blocks to the same width; the dearest blocks to widths
of whole vectors, for kernels compute 16 output channels where fewer are asked for; the dearest
bodies. Which units go does not matter to the time. The full network runs twice a turn: how far its
second share is from 1 is how far others may be off.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmarks.machine import machine, write_result
from fewstep.networks.adm.config import UNetConfig
from fewstep.networks.card import ModelCard
from fewstep.networks.denoising import balanced_labels
from fewstep.networks.models import load_network, resolve
from fewstep.networks.pruning.blocks import PrunableBlock, adm_blocks
from fewstep.networks.pruning.configuration import BlockChoice, Mode, NetworkConfiguration
from fewstep.networks.pruning.macs import adm_macs
from fewstep.networks.pruning.slicing import sliced
from fewstep.networks.zoo.training_speed import device_name

SHARES = (0.9, 0.75, 0.6, 0.5)
IMAGES = 64
TURNS = 15
WARM_UP_TURNS = 2
VECTOR = 16
"""Output channels that a convolution computes at once; float32, AVX-512 or two of AVX2."""

_CUT: dict[str, Mode] = {"residual": "groups", "attention": "heads", "feed-forward": "hidden"}
_EIGHTHS = range(1, 9)

Network: TypeAlias = "tuple[str, NetworkConfiguration]"
Seconds: TypeAlias = "npt.NDArray[np.float64]"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.clock == "processor" and (options.device != "cpu" or options.threads != 1):
        parser.error("--clock processor takes --device cpu --threads 1")
    torch.set_num_threads(options.threads)
    card = resolve(options.model, roots=options.root)
    figures = {
        "model": options.model,
        "images": options.images,
        "threads": options.threads,
        "turns": options.turns,
        "device": device_name(torch.device(options.device)),
        "clock": options.clock,
        "rows": measure(
            card,
            device=options.device,
            images=options.images,
            turns=options.turns,
            clock=options.clock,
        ),
    }
    if options.out is not None:
        write_result(options.out, figures)
    print(markdown(figures | {"machine": machine()}))
    return 0


def measure(
    card: ModelCard, *, device: str, images: int, turns: int, clock: str = "wall"
) -> list[dict[str, object]]:
    """One row per network; the first is the full one, to which shares refer."""
    config = card.unet_config()
    chosen = list(networks(config, card.image_shape[-1]))
    full = load_network(card, device=device)
    passes = [_pass(sliced(full, c), card, images, device) for _, c in chosen]
    seconds = _seconds(passes, turns, _clock(device, clock))
    macs = [_macs(config, c, card.image_shape[-1]) for _, c in chosen]
    shares = seconds / seconds[:, :1]
    return [
        {
            "network": name,
            "macs": macs[i],
            "macs_share": macs[i] / macs[0],
            "ms_per_image": [1e3 * s / images for s in _quartiles(seconds[:, i])],
            "time_share": _quartiles(shares[:, i]),
        }
        for i, (name, _) in enumerate(chosen)
    ]


def networks(config: UNetConfig, image_size: int) -> Iterator[Network]:
    """The full network twice, then what is cut to about each of `SHARES`, in three ways."""
    yield "full", NetworkConfiguration()
    yield "full again", NetworkConfiguration()
    for share in SHARES:
        yield uniform_widths(config, image_size, share)
    for share in SHARES:
        found = dearest_cut(config, image_size, share, whole_vectors)
        yield f"{len(found.choices)} blocks to whole vectors", found
    for share in SHARES:
        found = dearest_cut(config, image_size, share, no_body)
        yield f"{len(found.choices)} bodies removed", found


def uniform_widths(config: UNetConfig, image_size: int, share: float) -> Network:
    """So many eighths of the groups and of the heads everywhere: those nearest to a share."""
    blocks, full = adm_blocks(config), _macs(config, NetworkConfiguration(), image_size)
    ratios = [(groups, heads) for groups in _EIGHTHS for heads in _EIGHTHS if heads >= groups]
    found = {pair: _with_widths(blocks, *pair) for pair in ratios}
    groups, heads = min(
        ratios, key=lambda pair: abs(_macs(config, found[pair], image_size) / full - share)
    )
    return f"groups {groups}/8, heads {heads}/8", found[groups, heads]


def whole_vectors(block: PrunableBlock) -> list[BlockChoice]:
    """Widths of whole vectors from the widest on, down to half."""
    counts = [
        count
        for count in range(block.units - 1, (block.units - 1) // 2, -1)
        if count * block.unit_width % VECTOR == 0
    ]
    return [_first_units(block, count) for count in counts]


def no_body(block: PrunableBlock) -> list[BlockChoice]:
    """The body removed."""
    return [BlockChoice("removed")] if block.can_be_removed else []


def dearest_cut(
    config: UNetConfig,
    image_size: int,
    share: float,
    smaller: Callable[[PrunableBlock], list[BlockChoice]],
) -> NetworkConfiguration:
    """Blocks cut one after the other, the dearest first, while the rest costs a share at least."""
    full = adm_macs(config, NetworkConfiguration(), image_size)
    kept: dict[str, BlockChoice] = {}
    for block in sorted(adm_blocks(config), key=lambda block: -full.parts[block.name].macs):
        for choice in smaller(block):
            cut = kept | {block.name: choice}
            macs = _macs(config, NetworkConfiguration.of(cut), image_size)
            kept = cut if macs >= share * full.total.macs else kept
    return NetworkConfiguration.of(kept)


def markdown(figures: dict[str, Any]) -> str:
    """The table."""
    lines = [
        f"`{figures['model']}`, one pass of {figures['images']} images, float32, "
        f"{figures['threads']} thread(s) of {figures['device']}, torch "
        f"{figures['machine']['torch']}: medians of {figures['turns']} turns ({figures['clock']} "
        "clock), quartiles in brackets; shares within each turn.",
        "",
        "| network | MACs of one image | share of MACs | ms per image | share of time |",
        "|---|---|---|---|---|",
    ]
    for row in figures["rows"]:
        low, middle, high = row["ms_per_image"]
        least, share, most = row["time_share"]
        lines.append(
            f"| {row['network']} | {row['macs'] / 1e6:.1f} M | {row['macs_share']:.3f} | "
            f"{middle:.3f} ({low:.3f} to {high:.3f}) | {share:.3f} ({least:.3f} to {most:.3f}) |"
        )
    return "\n".join(lines)


def _with_widths(blocks: Sequence[PrunableBlock], groups: int, heads: int) -> NetworkConfiguration:
    choices = {}
    for block in blocks:
        eighths = heads if block.kind == "attention" else groups
        kept = max(1, (block.units * eighths + 4) // 8)
        choices[block.name] = _first_units(block, kept)
    return NetworkConfiguration.of(choices).normalised(blocks)


def _first_units(block: PrunableBlock, count: int) -> BlockChoice:
    return BlockChoice(_CUT[block.kind], tuple(range(count)))


def _macs(config: UNetConfig, configuration: NetworkConfiguration, image_size: int) -> int:
    return adm_macs(config, configuration, image_size).total.macs


def _pass(
    network: torch.nn.Module, card: ModelCard, images: int, device: str
) -> Callable[[], Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(images, *card.image_shape, generator=generator).to(device)
    times = torch.full((images,), 500.0, device=device)
    labels = [] if card.num_classes is None else [balanced_labels(card, images).to(device)]
    return lambda: network(x, times, *labels)


@torch.inference_mode()
def _seconds(
    passes: Sequence[Callable[[], Tensor]], turns: int, clock: Callable[[], float]
) -> Seconds:
    """Seconds (turns, passes); every turn runs all of them."""
    taken = np.zeros((turns + WARM_UP_TURNS, len(passes)))
    for turn in taken:
        for i, run in enumerate(passes):
            started = clock()
            run()
            turn[i] = clock() - started
    return taken[WARM_UP_TURNS:]


def _clock(device: str, name: str) -> Callable[[], float]:
    """Seconds; on a device only once all is done there."""

    def synchronised() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    if name == "processor":
        return time.process_time
    return synchronised if device == "cuda" else time.perf_counter


def _quartiles(values: Seconds) -> list[float]:
    return [float(value) for value in np.quantile(values, (0.25, 0.5, 0.75))]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pruning_seconds")
    parser.add_argument("--model", default="zoo:cifar10-16")
    parser.add_argument("--images", type=int, default=IMAGES, help="images of one batch")
    parser.add_argument("--threads", type=int, default=1, help="threads inside one operation")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--clock",
        choices=("wall", "processor"),
        default="wall",
        help="processor: time of this process alone, for a machine that others use; one CPU thread",
    )
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--out", type=Path, help="JSON file to write, the machine included")
    parser.add_argument("--root", type=Path, action="append", default=[], help="model root folder")
    return parser


if __name__ == "__main__":
    sys.exit(main())
