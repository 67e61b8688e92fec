"""Training: repeatable, and resumable at any step without a trace."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch.utils.flop_counter import FlopCounterMode

from fewstep.errors import InvalidInput
from fewstep.networks.adm.shapes import tensor_shapes
from fewstep.networks.models import load_network, resolve
from fewstep.networks.zoo import train
from fewstep.networks.zoo.classifier import to_network_range
from fewstep.networks.zoo.digits_data import load_digits_images
from fewstep.networks.zoo.digits_recipe import DIGITS
from fewstep.networks.zoo.recipe import Restart, TrainingSettings
from fewstep.networks.zoo.training import Trainer, min_snr_weight, rate_at
from fewstep.networks.zoo.training_speed import (
    flops_per_image,
    read_stretches,
    training_figures,
)
from fewstep.process import VPDiscrete

SETTINGS = replace(DIGITS.settings, num_steps=8, batch_size=16, warmup_steps=2)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # as the command does


def _trainer(settings: TrainingSettings) -> Trainer:
    return Trainer(DIGITS.unet, settings, null_label=DIGITS.null_label, process=DIGITS.process)


def _losses(trainer: Trainer, count: int) -> list[float]:
    images, labels = (torch.from_numpy(part) for part in load_digits_images("train"))
    steps = trainer.run(to_network_range(images), labels)
    return [loss for _, loss in zip(range(count), steps, strict=False)]


def test_same_seed_gives_the_same_losses_and_another_seed_others() -> None:
    first, again = (_losses(_trainer(SETTINGS), 4) for _ in range(2))
    assert first == again
    assert first != _losses(_trainer(replace(SETTINGS, seed=1)), 4)


def test_restored_trainer_goes_on_as_if_never_stopped() -> None:
    whole = _trainer(SETTINGS)
    losses = _losses(whole, 8)
    stopped = _trainer(SETTINGS)
    before = _losses(stopped, 3)
    resumed = _trainer(SETTINGS)
    resumed.restore({name: value.clone() for name, value in stopped.state().items()})
    assert before + _losses(resumed, 8) == losses
    for name, value in whole.state().items():
        assert torch.equal(value, resumed.state()[name]), name


def test_training_lowers_the_loss() -> None:
    losses = _losses(_trainer(replace(SETTINGS, num_steps=40, warmup_steps=5)), 40)
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10]), losses


def test_average_follows_the_network() -> None:
    trainer = _trainer(SETTINGS)
    start = {name: value.clone() for name, value in trainer.average.items()}
    _losses(trainer, 8)
    now = trainer.network.state_dict()
    moved = [name for name in start if not torch.equal(start[name], now[name])]
    assert len(moved) > len(start) // 2
    for name in moved:
        behind = (trainer.average[name] - now[name]).norm()
        assert behind < (start[name] - now[name]).norm(), name


def test_restart_raises_the_rate_again_and_ends_at_its_own_last_step() -> None:
    restart = Restart(num_steps=6, peak_rate=5e-4, min_snr_gamma=5.0)
    settings = replace(SETTINGS, restarts=(restart,))
    rates = [rate_at(step, settings) for step in range(settings.total_steps)]
    assert rates[:8] == [rate_at(step, SETTINGS) for step in range(8)]
    assert rates[8:10] == [0.5 * 5e-4, 5e-4]
    assert rates[10] == 5e-4
    assert all(a > b > 0.0 for a, b in pairwise(rates[10:]))
    assert len(_losses(_trainer(settings), 99)) == 14


def test_min_snr_weights_lighten_clean_states_alone() -> None:
    level = torch.tensor([0.05, 0.5, 0.9, 0.999], dtype=torch.float64)  # alpha^2
    weight = min_snr_weight(level.sqrt(), (1.0 - level).sqrt(), 5.0)
    snr = level / (1.0 - level)
    assert float(weight.mean()) == pytest.approx(1.0)
    assert float(weight[0]) == float(weight[1])  # both below gamma
    assert torch.allclose(weight[2:] / weight[0], 5.0 / snr[2:])


def test_loss_is_weighted_in_the_cycle_that_says_so() -> None:
    plain, weighted = (
        _trainer(replace(SETTINGS, restarts=(Restart(num_steps=1, peak_rate=1e-3, **more),)))
        for more in ({}, {"min_snr_gamma": 1.0})
    )
    before, after = _losses(plain, 9), _losses(weighted, 9)
    assert before[:8] == after[:8]
    assert before[8] != after[8]


@pytest.mark.timeout(180)
def test_killed_command_resumes_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "_CHECKPOINT_EVERY", 2)
    settings = replace(SETTINGS, num_steps=6)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    _write_unet(whole, settings)
    _kill_after_first_checkpoint(killed, settings)
    with safe_open(killed / "checkpoint.safetensors", "pt") as file:
        assert 2 <= int(file.get_tensor("step")) < 6
    _write_unet(killed, settings)
    for name in ("unet.safetensors", "checkpoint.safetensors"):
        first, second = load_file(whole / name), load_file(killed / name)
        assert first.keys() == second.keys()
        for key, value in first.items():
            assert torch.equal(value, second[key]), key


def _write_unet(folder: Path, settings: TrainingSettings) -> None:
    trainer = train.open_trainer(DIGITS, folder, settings)
    train.write_unet(DIGITS, trainer, folder, *load_digits_images("train"))


_TRAIN_SLOWLY = """
import sys, time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
import torch
from fewstep.networks.zoo import train
from fewstep.networks.zoo.digits_recipe import DIGITS
torch.set_num_threads(1)
train._CHECKPOINT_EVERY = 2
save = train.save_checkpoint
def save_and_wait(recipe, trainer, folder):
    save(recipe, trainer, folder)
    time.sleep(60)
train.save_checkpoint = save_and_wait
settings = replace(DIGITS.settings, num_steps=6, batch_size=16, warmup_steps=2)
folder = Path(sys.argv[1])
trainer = train.open_trainer(DIGITS, folder, settings)
train.write_unet(DIGITS, trainer, folder, *DIGITS.load(None, "train"))
"""


def _kill_after_first_checkpoint(folder: Path, settings: TrainingSettings) -> None:
    assert settings == replace(SETTINGS, num_steps=6), "the script below states these settings"
    with subprocess.Popen([sys.executable, "-c", _TRAIN_SLOWLY, str(folder)]) as process:
        deadline = time.monotonic() + 120
        while not (folder / "checkpoint.safetensors").exists():
            assert process.poll() is None, "training ended by itself"
            assert time.monotonic() < deadline, "no checkpoint within two minutes"
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)


def test_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    train.save_checkpoint(DIGITS, _trainer(SETTINGS), tmp_path)
    with pytest.raises(InvalidInput, match=r"other settings: \{'seed': \(0, 5\)\}"):
        train.open_trainer(DIGITS, tmp_path, replace(SETTINGS, seed=5))
    other = replace(DIGITS, process=VPDiscrete.cosine())
    with pytest.raises(InvalidInput, match=r"other settings: \{'process': .*linear.*cosine"):
        train.open_trainer(other, tmp_path, SETTINGS)


def test_command_writes_a_model_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        train.main(["digits", "--out", str(tmp_path / "made"), "--steps", "2"])
    assert "classifier:" in caplog.text
    assert "unet: step 2" in caplog.text
    weights = load_file(tmp_path / "made" / "unet.safetensors")
    assert {n: tuple(v.shape) for n, v in weights.items()} == tensor_shapes(DIGITS.unet)
    assert {value.dtype for value in weights.values()} == {torch.float16}
    _check_resolves(tmp_path)


def _check_resolves(root: Path) -> None:
    card = resolve("file:made", roots=[root])
    training: Any = card.measured["training"]
    assert (training["steps"], training["images_seen"]) == (2, 2 * DIGITS.settings.batch_size)
    assert training["images_per_second"] > 0
    assert 0 < training["share_of_bf16_rate"] < 1
    x, times, labels = torch.zeros(1, 1, 8, 8), torch.zeros(1), torch.tensor([10])
    assert load_network(card)(x, times, labels).isfinite().all()


def test_speed_of_a_resumed_training_counts_each_step_once(tmp_path: Path) -> None:
    for steps in (2, 4):  # the first run ends early: the second goes on with its learning rates
        trainer = train.open_trainer(DIGITS, tmp_path, replace(SETTINGS, num_steps=4))
        images, labels = load_digits_images("train")
        trainer.settings = replace(SETTINGS, num_steps=steps)
        train.write_unet(DIGITS, trainer, tmp_path, images[:64], labels[:64])
        trainer.settings = replace(SETTINGS, num_steps=4)
        train.save_checkpoint(DIGITS, trainer, tmp_path)
    first, second = read_stretches(tmp_path)
    assert (first.first_step, first.last_step) == (0, 2)
    assert (second.first_step, second.last_step) == (2, 4)
    figures: Any = training_figures(tmp_path, trainer, DIGITS.image_shape)
    rate = 4 * SETTINGS.batch_size / (first.seconds + second.seconds)
    assert figures["images_per_second"] == pytest.approx(rate)


def test_operations_of_a_step_are_three_passes_of_the_network() -> None:
    trainer = _trainer(SETTINGS)
    both = flops_per_image(trainer, DIGITS.image_shape)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        trainer.network(torch.zeros(1, 1, 8, 8), torch.zeros(1), torch.tensor([0]))
    # The first convolution needs no gradient of its input.
    assert 2.8 < both / counter.get_total_flops() < 3.0
