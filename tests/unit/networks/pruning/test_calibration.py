"""Moments are those of what layers really read, band by band; files are read back or refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from fewstep.denoisers import Denoiser
from fewstep.denoisers.base import StackedLevel
from fewstep.errors import InvalidInput, UnsafeCheckpoint
from fewstep.guidance.classifier_free import classifier_free
from fewstep.networks.pruning.calibration import METADATA_KEY, calibrate, load_calibration
from fewstep.networks.pruning.configuration import BlockChoice, NetworkConfiguration
from fewstep.networks.pruning.slicing import end_of_body, sliced
from fewstep.program import trace
from fewstep.solvers import Kind
from fewstep.spacing import grid
from tests.unit.networks.pruning.trajectories import (
    CALLS,
    IMAGES,
    PROCESS,
    PROGRAM,
    blocks_of,
    calibrated,
    denoise_with,
    network_of,
    read_by,
    starts,
)

BLOCKS = ["input_blocks.1.0", "input_blocks.3.0", "input_blocks.3.1", "output_blocks.3.0"]


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("name", ["adm", "adm-scale-shift"])
def test_moments_are_those_of_rows_unfolded_by_loops(name: str, block: str) -> None:
    read = read_by(name, end_of_body(blocks_of(name)[block]))
    taps = 9 if blocks_of(name)[block].kind == "residual" else 1
    rows = read.rows(taps)
    moments = calibrated(name).pooled(range(CALLS))[block]
    assert (moments.count, moments.taps) == (len(rows), taps)
    assert np.abs(moments.mean - rows.mean(0)).max() < 1e-12
    assert np.abs(moments.second - rows.T @ rows / len(rows)).max() < 1e-12
    assert np.abs(moments.covariance - np.cov(rows.T, bias=True)).max() < 1e-12
    assert np.abs(moments.mean_output - read.output_rows().mean(0)).max() < 1e-12
    assert np.abs(moments.mean).max() > 1e-2


def test_long_rows_are_kept_by_pixel() -> None:
    wide, narrow = "input_blocks.3.0", "input_blocks.1.0"  # 32 and 16 channels: D of 288 and 144
    found = calibrated("adm", max_unfolded=200).pooled(range(CALLS))
    rows = read_by("adm", f"{wide}.out_layers.3").rows(1)
    assert (found[wide].taps, found[narrow].taps) == (1, 9)
    assert np.abs(found[wide].second - rows.T @ rows / len(rows)).max() < 1e-12
    full = calibrated("adm").pooled(range(CALLS))[wide]
    assert np.abs(found[wide].mean_output - full.mean_output).max() < 1e-14


def test_each_call_counts_in_its_band_and_pooling_adds_bands() -> None:
    name, block = "adm", "input_blocks.1.0"
    network, denoise = network_of(name), denoise_with(name)
    of_call = [0, 1, 1]
    apart = calibrate(network, PROGRAM, denoise, starts(), of_call=of_call)
    each = calibrated(name)
    assert [moments[block].count for moments in apart.bands] == [64 * IMAGES, 2 * 64 * IMAGES]
    second = read_by(name, f"{block}.out_layers.3").inputs[1:].mean((0, 1, 3, 4))
    centre = apart.bands[1][block].mean.reshape(-1, 9)[:, 4] * 64 * 2 * IMAGES
    assert np.abs(centre / (64 * 2 * IMAGES) - second).max() < 1e-12  # the centre tap has no border
    one, other = each.pooled([1, 2, 2])[block], apart.pooled([1])[block]
    assert one.count == other.count
    assert np.abs(one.products / other.products - 1).max() < 1e-9


def test_all_passes_of_guidance_count() -> None:
    name = "adm-updown"
    network, block = network_of(name), "middle_block.0"

    def rows(denoise: object, program: object = PROGRAM) -> int:
        nodes = len(program.nodes)  # type: ignore[attr-defined]
        found = calibrate(network, program, denoise, starts(), of_call=[0] * nodes)  # type: ignore[arg-type]
        return found.bands[0][block].count // (16 * IMAGES)

    def split(model: nn.Module) -> Denoiser:
        labels = torch.zeros(IMAGES, dtype=torch.long)
        return classifier_free(model, labels=labels, guidance_scale=1.5, null_label=2)

    assert rows(denoise_with(name)) == CALLS
    assert rows(denoise_with(name, scale=1.5)) == 2 * CALLS
    apart = trace(grid("log-snr", PROCESS, 3), process=PROCESS, solver="ltsp2")
    kinds = [node.kind for node in apart.nodes]
    assert "gradient" in kinds
    assert rows(split, apart) == kinds.count("base") + 2 * kinds.count("gradient")


def test_batches_bound_what_runs_at_once_and_change_nothing_else() -> None:
    sizes: list[int] = []
    network = network_of("adm")
    handle = network.get_submodule("out").register_forward_hook(
        lambda _module, given, _output: sizes.append(len(given[0]))
    )
    found = calibrate(
        network, PROGRAM, denoise_with("adm"), starts(), of_call=[0, 1, 2], micro_batch=5
    )
    handle.remove()
    assert sizes == [5, 5, 2] * CALLS
    for ours, whole in zip(found.bands, calibrated("adm").bands, strict=True):
        for name, moments in ours.items():
            assert moments.count == whole[name].count
            assert np.abs(moments.second - whole[name].second).max() < 1e-12


def test_equal_calls_give_equal_bytes_and_leave_the_network_alone() -> None:
    network = network_of("adm")
    again = calibrate(network, PROGRAM, denoise_with("adm"), starts(), of_call=range(CALLS))
    assert again.sha256 == calibrated("adm").sha256
    other = calibrate(network, PROGRAM, denoise_with("adm"), -starts(), of_call=range(CALLS))
    assert other.sha256 != again.sha256
    hooks = [hook for layer in network.modules() for hook in layer._forward_hooks]
    assert not hooks


def test_dropout_is_off_whatever_mode_the_network_is_in() -> None:
    network = network_of("adm")
    copy = type(network)(replace(network.config, dropout=0.5)).double()
    copy.load_state_dict(network.state_dict())
    found = calibrate(copy.train(), PROGRAM, denoise_with("adm"), starts(), of_call=range(CALLS))
    assert found.sha256 == calibrated("adm").sha256
    assert copy.training


def test_a_file_gives_back_the_same_moments(tmp_path: Path) -> None:
    written = calibrated("adm")
    sha256 = written.save(tmp_path / "moments.safetensors")
    found = load_calibration(tmp_path / "moments.safetensors")
    assert (found.sha256, written.sha256) == (sha256, sha256)
    assert (found.program, found.of_call) == (written.program, (0, 1, 2))
    assert found.num_images == IMAGES
    assert found.bands[2]["middle_block.1"].taps == 1


def _without(content: bytes, name: str) -> bytes:
    tensors = {key: value for key, value in load(content).items() if key != name}
    return save(tensors, metadata=_metadata(content))


def _with(content: bytes, name: str, value: Tensor) -> bytes:
    return save({**load(content), name: value}, metadata=_metadata(content))


def _metadata(content: bytes) -> dict[str, str]:
    length = int.from_bytes(content[:8], "little")
    found: dict[str, str] = json.loads(content[8 : 8 + length])["__metadata__"]
    return found


def test_files_that_are_no_calibration_are_refused(tmp_path: Path) -> None:
    path, content = tmp_path / "moments.safetensors", calibrated("adm").content()
    key = "1.middle_block.1.total"
    half = torch.zeros(32, dtype=torch.float32)
    damages = {
        "no such tensor": (_without(content, key), "tensors 1.middle_block.1.total differ"),
        "one more": (_with(content, "3.x.total", half), "tensors 3.x.total differ"),
        "type": (_with(content, key, half), "1.middle_block.1 differ"),
        "shape": (_with(content, key, torch.zeros(31).double()), "1.middle_block.1 differ"),
        "nan": (_with(content, key, half.double() * torch.nan), "finite float64"),
        "metadata": (save(load(content), metadata={METADATA_KEY: "{}"}), "metadata.version"),
    }
    for damaged, message in damages.values():
        path.write_bytes(damaged)
        with pytest.raises(InvalidInput, match=message) as caught:
            load_calibration(path)
        assert caught.value.field == "calibration"
    path.write_bytes(content[:-1])
    with pytest.raises(UnsafeCheckpoint, match="not a safetensors file"):
        load_calibration(path)
    with pytest.raises(InvalidInput, match="no such file"):
        load_calibration(tmp_path / "none")


@pytest.mark.parametrize("of_call", [[0, 1], [0, 2, 2], [1, 1, 1], []])
def test_bands_that_do_not_cover_the_calls_are_refused(of_call: list[int]) -> None:
    with pytest.raises(InvalidInput, match="a band for each of 3 nodes") as caught:
        calibrate(network_of("adm"), PROGRAM, denoise_with("adm"), starts(), of_call=of_call)
    assert caught.value.field == "of_call"


@pytest.mark.parametrize("bands", [[], [3], [-1, 0]])
def test_bands_that_there_are_not_are_refused(bands: list[int]) -> None:
    with pytest.raises(InvalidInput, match="one or more of 0 to 2"):
        calibrated("adm").pooled(bands)


def test_a_band_that_never_runs_the_network_is_refused() -> None:
    def denoise(_network: nn.Module) -> Denoiser:
        def constant(x: Tensor, at: StackedLevel, kind: Kind = "denoised") -> Tensor:
            return x

        return constant

    with pytest.raises(InvalidInput, match="no call of band 0 ran input_blocks"):
        calibrate(network_of("adm"), PROGRAM, denoise, starts(), of_call=[0] * CALLS)


def test_a_network_that_was_cut_and_batches_of_nothing_are_refused() -> None:
    choice = {"middle_block.0": BlockChoice("groups", (0,))}
    smaller = sliced(network_of("adm"), NetworkConfiguration.of(choice))
    with pytest.raises(InvalidInput, match="cut before"):
        calibrate(smaller, PROGRAM, denoise_with("adm"), starts(), of_call=[0] * CALLS)
    with pytest.raises(InvalidInput, match="micro_batch=0"):
        calibrate(
            network_of("adm"),
            PROGRAM,
            denoise_with("adm"),
            starts(),
            of_call=[0] * CALLS,
            micro_batch=0,
        )
