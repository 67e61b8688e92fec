"""Networks that also predict a variance: loaded without it, sampled as if they never had it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import fewstep
from evaluators.checksum import file_sha256
from fewstep.errors import ChecksFailed, InvalidInput
from fewstep.networks.adm.unet import UNet
from fewstep.networks.card import ModelCard
from fewstep.networks.denoising import balanced_labels, model_denoiser
from fewstep.networks.models import load_network, resolve
from tests.model_folder import MODEL, write_model

HEAD = ("out.2.weight", "out.2.bias")


def _learn_variance(root: Path, *, out_channels: int = 2, has_rows: bool = True) -> str:
    """Give the random model of a root a learned variance; returns its reference."""
    folder = root / MODEL.removeprefix("file:")
    weights = load_file(folder / "unet.safetensors")
    if has_rows:
        weights |= {name: torch.cat([weights[name], weights[name] + 1.0]) for name in HEAD}
    save_file(weights, folder / "unet.safetensors")
    card: dict[str, Any] = json.loads((folder / "card.json").read_text())
    card["architecture"]["out_channels"] = out_channels
    card["weights_sha256"] = file_sha256(folder / "unet.safetensors")
    (folder / "card.json").write_text(json.dumps(card))
    return MODEL


@pytest.fixture(params=[True, False], ids=["classes", "no-classes"])
def cards(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[ModelCard, ModelCard]:
    """A model without variance, and the same with one."""
    found = []
    for name in ("without", "with"):
        reference = write_model(tmp_path / name, is_conditional=request.param)
        if name == "with":
            reference = _learn_variance(tmp_path / name)
        found.append(resolve(reference, roots=[tmp_path / name]))
    return found[0], found[1]


def _sampled(card: ModelCard) -> torch.Tensor:
    process = card.make_process()
    x = torch.randn(5, *card.image_shape, generator=torch.manual_seed(3))
    with torch.no_grad():
        return fewstep.sample(
            model_denoiser(card, labels=balanced_labels(card, 5)),
            x,
            times=fewstep.grid("log-snr", process, 4),
            process=process,
            solver="dpm-solver++-2m",
        )


def test_samples_are_those_of_the_network_without_its_variance_rows(
    cards: tuple[ModelCard, ModelCard],
) -> None:
    without, with_variance = cards
    assert with_variance.unet_config().out_channels == 2 * without.unet_config().out_channels
    samples = _sampled(without)
    assert samples.std() > 0.01
    assert torch.equal(_sampled(with_variance), samples)


@torch.inference_mode()
def test_loaded_network_predicts_the_first_channels_of_the_raw_one(
    cards: tuple[ModelCard, ModelCard],
) -> None:
    card = cards[1]
    raw = UNet(card.unet_config()).eval()
    raw.load_state_dict(load_file(card.weights_path))
    x = torch.randn(3, *card.image_shape, generator=torch.manual_seed(4))
    t = torch.tensor([1.0, 400.0, 999.0])
    labels = () if card.num_classes is None else (torch.tensor([0, 3, 9]),)
    both = raw(x, t, *labels)
    assert both.shape[1] == 2  # the raw network keeps its variance
    assert (both[:, 1:] - both[:, :1]).abs().max() > 0.1
    predicted = load_network(card)(x, t, *labels)
    # The convolution's kernel may depend on how many rows there are: by rounding alone.
    torch.testing.assert_close(predicted, both[:, :1], rtol=0.0, atol=2e-6)


def test_loaded_network_says_what_it_predicts(cards: tuple[ModelCard, ModelCard]) -> None:
    config = cards[1].unet_config()
    assert load_network(cards[1]).config == replace(config, out_channels=config.in_channels)


@pytest.mark.parametrize("out_channels", [3, 4])
def test_other_numbers_of_channels_are_refused(tmp_path: Path, out_channels: int) -> None:
    write_model(tmp_path)
    reference = _learn_variance(tmp_path, out_channels=out_channels)
    told = rf"architecture\.out_channels is {out_channels}; allowed: 1, or 2 where the variance"
    with pytest.raises(InvalidInput, match=told):
        resolve(reference, roots=[tmp_path])


def test_card_that_claims_a_variance_the_weights_lack_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path)
    reference = _learn_variance(tmp_path, has_rows=False)
    with pytest.raises(ChecksFailed, match=r"out\.2\.bias: \(1,\) instead of \(2,\)"):
        resolve(reference, roots=[tmp_path])
