"""Model references: found by name, held against their card, loaded only when asked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fewstep.errors import ChecksFailed, UnknownName
from fewstep.networks.models import load_network, names, resolve

BUNDLED = ["zoo:cifar10-16", "zoo:digits"]
_WITHOUT_TORCH = """
import sys
from fewstep.networks.models import names, resolve
assert resolve("zoo:digits").name in names()
assert "torch" not in sys.modules, "torch was imported"
"""


def test_names_and_cards_need_no_torch() -> None:
    subprocess.run([sys.executable, "-c", _WITHOUT_TORCH], check=True, timeout=60)


def test_names_list_the_zoo_and_the_roots(model_root: Path) -> None:
    assert names() == BUNDLED
    assert names(roots=[model_root]) == [*BUNDLED, "file:copy"]


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "digits",
        "zoo:",
        "zoo:mnist",
        "zoo:../zoo/digits",
        "zoo:digits/",
        "file:digits",
        "file:..",
        "file:/etc",
        "file:copy\n",
        "hub:copy",
        "ZOO:digits",
        "\ud800",
    ],
)
def test_other_references_are_unknown_and_the_message_lists_the_known(
    model_root: Path, reference: str
) -> None:
    with pytest.raises(UnknownName) as caught:
        resolve(reference, roots=[model_root])
    assert caught.value.message.endswith("allowed: zoo:cifar10-16, zoo:digits, file:copy")
    assert repr(reference) in caught.value.message
    assert caught.value.field == "model"


def test_folder_under_a_root_is_the_same_network(model_root: Path) -> None:
    bundled = load_network(resolve("zoo:digits"))
    copied = load_network(resolve("file:copy", roots=[model_root]))
    for name, value in bundled.state_dict().items():
        assert torch.equal(value, copied.state_dict()[name])


def test_loaded_network_is_float32_evaluating_and_frozen() -> None:
    network = load_network(resolve("zoo:digits"))
    assert not network.training
    assert {(p.dtype, p.requires_grad) for p in network.parameters()} == {(torch.float32, False)}


@torch.inference_mode()
def test_loaded_network_predicts_the_noise_of_a_noisy_image() -> None:
    card = resolve("zoo:digits")
    network, eps = load_network(card), torch.randn(64, 1, 8, 8, generator=torch.manual_seed(0))
    labels = torch.arange(64) % 10
    predicted = network(eps, torch.full((64,), 999.0), labels)
    assert (predicted - eps).square().mean() < 0.05  # at the noisiest level x is nearly all noise


@torch.inference_mode()
def test_null_label_predicts_otherwise_than_any_digit() -> None:
    card = resolve("zoo:digits")
    assert card.null_label is not None
    network, x = load_network(card), torch.randn(1, 1, 8, 8, generator=torch.manual_seed(1))
    x, t = x.expand(11, 1, 8, 8), torch.full((11,), 500.0)
    predicted = network(x, t, torch.arange(11))
    distances = (predicted[:10] - predicted[card.null_label]).abs().amax(dim=(1, 2, 3))
    assert distances.min() > 0.01, distances


def test_weights_that_change_after_the_check_are_refused(model_root: Path) -> None:
    card = resolve("file:copy", roots=[model_root])
    tensors = load_file(card.weights_path)
    tensors["out.2.bias"] += 1.0
    save_file(tensors, card.weights_path)
    with pytest.raises(ChecksFailed, match="sha256"):
        load_network(card)
    with pytest.raises(ChecksFailed, match="sha256"):
        resolve("file:copy", roots=[model_root])
