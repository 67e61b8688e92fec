"""Model references: `zoo:NAME` is bundled, `file:NAME` is a folder under a configured root.

A model folder holds `card.json` and safetensors files. Resolving reads the card and the header of
the weights; torch is imported by `load_network` alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fewstep.errors import UnknownName
from fewstep.networks.adm.shapes import tensor_shapes
from fewstep.networks.card import CARD_FILE, ModelCard, read_card
from fewstep.networks.checkpoint import check_sha256, check_weights

if TYPE_CHECKING:  # this file is imported where torch must not be
    from fewstep.networks.adm.unet import UNet

_ZOO = Path(__file__).parent / "zoo"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # no separators: names cannot climb


def names(*, roots: Sequence[Path] = ()) -> list[str]:
    """References of all model folders there are, bundled ones first; none of them is opened."""
    found = [f"zoo:{name}" for name in _folders(_ZOO)]
    return found + sorted({f"file:{name}" for root in roots for name in _folders(root)})


def resolve(reference: str, *, roots: Sequence[Path] = ()) -> ModelCard:
    """The card behind a reference, after its weights were held against it.

    Raises:
        UnknownName: no such model; the message lists those there are.
        InvalidInput: the card is malformed.
        UnsafeCheckpoint: the weights are no complete safetensors file.
        ChecksFailed: the weights are not those of the card.
    """
    card = read_card(_find(reference, roots))
    check_weights(
        card.weights_path, sha256=card.weights_sha256, shapes=tensor_shapes(card.unet_config())
    )
    return card


def load_network(card: ModelCard, *, device: str = "cpu") -> UNet:
    """The network of a card: float32, evaluating, without gradients.

    It is called as `network(x, network_time, labels)`, or without labels where the card has no
    classes. A learned variance is left out: the last layer keeps the rows that predict noise.

    Raises:
        ChecksFailed: the weights changed since the card was resolved.
    """
    import torch
    from safetensors.torch import load

    from fewstep.networks.adm.unet import UNet

    content = card.weights_path.read_bytes()
    check_sha256(card.weights_file, hashlib.sha256(content).hexdigest(), card.weights_sha256)
    config = card.unet_config()
    # Not under the meta device: that imports sympy and more, 150 MB and a second in every worker.
    with torch.random.fork_rng(devices=[]):  # the weights it draws first are nobody's randomness
        network = UNet(replace(config, out_channels=config.in_channels))
    weights = {name: value.to(device, torch.float32) for name, value in load(content).items()}
    for name in ("out.2.weight", "out.2.bias"):
        weights[name] = weights[name][: config.in_channels]
    network.load_state_dict(weights, strict=True, assign=True)
    return network.eval().requires_grad_(False)


def _find(reference: str, roots: Sequence[Path]) -> Path:
    kind, _, name = reference.partition(":")
    places = {"zoo": [_ZOO], "file": list(roots)}.get(kind, [])
    if _NAME.fullmatch(name):
        for place in places:
            if (place / name / CARD_FILE).is_file():
                return place / name
    allowed = ", ".join(names(roots=roots))
    raise UnknownName(f"model={reference!r}: no such model; allowed: {allowed}", field="model")


def _folders(place: Path) -> list[str]:
    return sorted(path.parent.name for path in place.glob(f"*/{CARD_FILE}"))
