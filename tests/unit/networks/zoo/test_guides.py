"""The guides of `zoo:digits`: accurate where the state shows anything, calibrated, repeatable."""

from __future__ import annotations

import json
import logging
import math
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import cosine_similarity

from benchmarks import gradient_cost
from fewstep.networks.card import CARD_FILE, ModelCard, read_card
from fewstep.networks.guides import label_classifier, load_guide, noise_level_posterior
from fewstep.networks.models import resolve
from fewstep.networks.zoo import noise_level_classifier_training, train
from fewstep.networks.zoo.classifier import to_network_range
from fewstep.networks.zoo.digits_data import load_digits_images
from fewstep.networks.zoo.digits_recipe import DIGITS
from fewstep.networks.zoo.noise_level_classifier_training import (
    exact_posterior,
    level_grid,
    noise_level_figures,
    train_noise_level,
)
from fewstep.networks.zoo.noisy_classifier_training import (
    noised,
    noisy_label_figures,
    train_noisy_classifier,
)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # as the command does


@pytest.fixture(scope="module")
def card() -> ModelCard:
    return resolve("zoo:digits")


def _heldout() -> tuple[Tensor, Tensor]:
    images, labels = (torch.from_numpy(part) for part in load_digits_images("heldout"))
    return to_network_range(images), labels


def test_noisy_label_knows_heldout_digits_and_less_the_noisier(card: ModelCard) -> None:
    found: Any = noisy_label_figures(DIGITS, label_classifier(card), *load_digits_images("heldout"))
    accuracy = found["accuracy_by_quintile"]
    assert accuracy[0] >= 0.96, accuracy
    assert accuracy[1] >= 0.6, accuracy
    assert accuracy == sorted(accuracy, reverse=True)
    assert max(found["cross_entropy_by_quintile"]) <= math.log(10) + 0.02, found  # never misled


def test_recorded_label_figures_are_those_of_the_file(card: ModelCard) -> None:
    measured: Any = card.guides["noisy-label"]["measured"]
    for name, value in noisy_label_figures(
        DIGITS, label_classifier(card), *load_digits_images("heldout")
    ).items():
        assert measured[name] == pytest.approx(value, rel=1e-3), name


def test_label_gradient_agrees_with_differences_in_double_precision(card: ModelCard) -> None:
    guide = label_classifier(card).double()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(20, 1, 8, 8, generator=generator, dtype=torch.float64, requires_grad=True)
    times, direction = torch.linspace(0, 999, 20), torch.ones(1, 1, 8, 8, dtype=torch.float64)

    def likelihood(state: Tensor) -> Tensor:
        return torch.log_softmax(guide(state, times), 1)[:, 4]

    (gradient,) = torch.autograd.grad(likelihood(x).sum(), x)
    step = 1e-5 * direction
    with torch.no_grad():
        slope = (likelihood(x + step) - likelihood(x - step)) / 2e-5
    along = (gradient * direction).sum((1, 2, 3))
    torch.testing.assert_close(along, slope, rtol=1e-5, atol=1e-7)


def test_guided_steps_raise_the_likelihood_of_the_label(card: ModelCard) -> None:
    guide, labels = label_classifier(card), torch.arange(200) % 10
    x, indices = torch.randn(200, 1, 8, 8, generator=torch.Generator().manual_seed(1)), 300
    times = torch.full((200,), indices)

    def likelihood(state: Tensor) -> Tensor:
        return torch.log_softmax(guide(state, times), 1).gather(1, labels[:, None])[:, 0]

    state = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(likelihood(state).sum(), state)
    rise = likelihood(x + 0.1 * gradient) - likelihood(x)
    assert (rise > 0.0).double().mean() > 0.95, rise.min()


def test_nearest_prototype_is_the_digit_shown(card: ModelCard) -> None:
    guide, (x0, labels) = label_classifier(card), _heldout()
    torch.testing.assert_close(guide.prototypes.norm(dim=1), torch.ones(10), rtol=1e-3, atol=0)
    features = guide.features(x0, torch.zeros(len(x0)))
    nearest = cosine_similarity(features[:, None], guide.prototypes[None], dim=2).argmax(1)
    accuracy = float((nearest == labels).double().mean())
    assert accuracy >= 0.95, accuracy


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_guides_answer_in_the_number_type_of_the_state(card: ModelCard, dtype: torch.dtype) -> None:
    x, times = torch.zeros(3, 1, 8, 8, dtype=dtype), torch.zeros(3, dtype=dtype)
    label, (level, grid) = label_classifier(card), noise_level_posterior(card)
    for answer in (label(x, times), label.features(x, times), level(x)):
        assert answer.dtype == dtype
        assert answer.isfinite().all()
    assert grid.dtype == torch.float64


def test_level_grid_spans_the_process_evenly_in_log_rho(card: ModelCard) -> None:
    grid = noise_level_posterior(card)[1].tolist()
    assert grid == level_grid(DIGITS.process)
    assert len(grid) == 200
    process = card.make_process()
    assert (grid[0], grid[-1]) == (process.at(1.0).rho, process.at(process.t_min).rho)
    np.testing.assert_allclose(np.diff(np.log(grid)), np.log(grid[-1] / grid[0]) / 199, rtol=1e-9)


def test_noise_level_is_near_the_exact_posterior_unbiased_and_calibrated(card: ModelCard) -> None:
    measured: Any = card.guides["noise-level"]["measured"]
    found: Any = noise_level_figures(
        DIGITS.process,
        noise_level_posterior(card)[0],
        train=load_digits_images("train")[0],
        heldout=load_digits_images("heldout")[0],
        states_per_band=250,
    )
    for recorded, band in zip(measured["bands"], found["bands"], strict=True):
        assert band["cross_entropy"] == pytest.approx(recorded["cross_entropy"], abs=0.2), band
        assert band["reachable_cross_entropy"] < band["cross_entropy"] + 0.1, band
        assert recorded["cross_entropy"] < recorded["reachable_cross_entropy"] + 1.0, recorded
        assert abs(recorded["argmax_bias"]) < recorded["argmax_sd"] < 0.25, recorded
        assert 0.8 < recorded["sampled_variance_ratio"] < 1.2, recorded


def test_exact_posterior_of_one_image_is_the_chi_squared_one() -> None:
    rho = torch.tensor([2.0, 1.0, 0.5], dtype=torch.float64)
    x0 = torch.zeros(1, 1, 2, 2)
    logits = exact_posterior(x0, rho)(torch.ones(1, 1, 2, 2))
    wanted = -4 / (2 * rho**2) - 4 * rho.log()
    torch.testing.assert_close(logits.log_softmax(1)[0], wanted.log_softmax(0))


@pytest.mark.parametrize("size", [0.0, 1e-6, 1e4])
def test_noise_level_of_states_far_outside_is_finite(card: ModelCard, size: float) -> None:
    network, grid = noise_level_posterior(card)
    logits = network(size * torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert logits.isfinite().all()
    if size > 10 * grid[0]:
        assert (logits.argmax(1) == 0).all()


def _noisy_label(seed: int) -> Module:
    data = load_digits_images("train")
    return train_noisy_classifier(DIGITS, *data, seed=seed, num_steps=6)


def _noise_level(seed: int) -> Module:
    images = load_digits_images("train")[0]
    return train_noise_level(DIGITS, images, seed=seed, num_steps=6)


@pytest.mark.parametrize("make", [_noisy_label, _noise_level])
def test_training_repeats_to_the_bit_and_follows_the_seed(
    make: Callable[[int], Module],
) -> None:
    before = torch.get_rng_state()
    first, again, other = (make(seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(before, torch.get_rng_state())  # nobody else's random numbers move
    for name, value in first.items():
        assert torch.equal(value, again[name]), name
    assert any(not torch.equal(value, other[name]) for name, value in first.items())


def test_noised_states_have_the_variance_of_their_index() -> None:
    indices = torch.tensor([0, 500, 999])
    states = noised(DIGITS.process, torch.zeros(3, 1, 100, 100), indices)
    process = DIGITS.process
    sigma = [process.at(process.time_of(int(k))).sigma for k in indices]
    assert states.std((1, 2, 3)).tolist() == pytest.approx(sigma, rel=0.05)


def test_command_lists_loadable_guides_in_the_card(
    card: ModelCard,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    few = partial(noise_level_figures, states_per_band=20)  # all of them take half a minute
    monkeypatch.setattr(noise_level_classifier_training, "noise_level_figures", few)
    document = json.loads((card.folder / CARD_FILE).read_text(encoding="utf-8"))
    bare = {name: value for name, value in document.items() if name != "guides"}
    (tmp_path / CARD_FILE).write_text(json.dumps(bare), encoding="utf-8")
    with caplog.at_level(logging.INFO):
        train.main(["digits", "--guides", "--out", str(tmp_path), "--steps", "3"])
    assert "noisy-label: 3 steps" in caplog.text
    made = read_card(tmp_path)
    assert sorted(made.guides) == ["noise-level", "noisy-label"]
    for name, guide in made.guides.items():
        load_guide(made, name)
        assert guide["measured"]["training_steps"] == 3
        assert "gradient_cost" not in guide  # not measured yet
    written = json.loads((tmp_path / CARD_FILE).read_text(encoding="utf-8"))
    assert {name: value for name, value in written.items() if name != "guides"} == bare


def test_command_without_a_card_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        train.main(["digits", "--guides", "--out", str(tmp_path), "--steps", "1"])
    assert "has no card.json to list the guides in" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_gradient_cost_is_written_with_seconds_and_machine(card: ModelCard, tmp_path: Path) -> None:
    shutil.copytree(card.folder, tmp_path / "copy")
    copy = read_card(tmp_path / "copy")
    found = gradient_cost.measure(copy, repetitions=3)
    assert found["gradient_cost"] == found["gradient_s"] / found["network_s"]
    assert 0.02 < found["gradient_cost"] < 1.0, found
    gradient_cost.write(copy, found)
    written = read_card(tmp_path / "copy").guides["noisy-label"]
    timing: Any = written["measured"]["timing"]
    assert written["gradient_cost"] == found["gradient_cost"]
    assert (timing["repetitions"], timing["gradient_s"]) == (3, found["gradient_s"])
    assert timing["machine"]["processor"]
    page = (tmp_path / "copy" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert f"costs {found['gradient_cost']:.2f} passes of the network" in page
