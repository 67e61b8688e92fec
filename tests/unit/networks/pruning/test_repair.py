"""Repair is the least squares it says it is, helps where it must, and fits its network alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import Tensor, nn

from fewstep.errors import InvalidInput
from fewstep.networks.adm.unet import UNet
from fewstep.networks.denoising import balanced_labels, model_denoiser
from fewstep.networks.models import load_network, resolve
from fewstep.networks.pruning.architecture import Repair
from fewstep.networks.pruning.blocks import adm_blocks
from fewstep.networks.pruning.cache import BodyCache
from fewstep.networks.pruning.calibration import calibrate, load_calibration
from fewstep.networks.pruning.configuration import (
    BlockChoice,
    NetworkConfiguration,
    kept_channels,
)
from fewstep.networks.pruning.cutting import shared_copy
from fewstep.networks.pruning.repair import (
    METADATA_KEY,
    apply_repair,
    load_repair,
    repaired,
    save_repair,
)
from fewstep.networks.pruning.slicing import end_of_body, sliced
from fewstep.program import trace
from fewstep.running import run
from fewstep.spacing import grid
from tests.unit.networks.pruning.cases import case
from tests.unit.networks.pruning.drawn import configurations
from tests.unit.networks.pruning.trajectories import (
    CALLS,
    PROGRAM,
    FloatArray,
    bias,
    blocks_of,
    calibrated,
    columns,
    denoise_with,
    matrix,
    network_of,
    read_by,
    starts,
)

NAME = "adm-scale-shift"
ALL = range(CALLS)
RESIDUAL, ATTENTION = "input_blocks.3.0", "input_blocks.3.1"
CUT = NetworkConfiguration.of(
    {
        RESIDUAL: BlockChoice("groups", (0, 2)),
        ATTENTION: BlockChoice("heads", (1, 2)),
        "middle_block.0": BlockChoice("removed"),
        "middle_block.1": BlockChoice("removed"),
    }
)


def _repaired(
    configuration: NetworkConfiguration, repair: Repair, *, ridge: float = 1e-3
) -> dict[str, Tensor]:
    return repaired(network_of(NAME), configuration, calibrated(NAME), ALL, repair, ridge=ridge)


def _taps(block: str) -> int:
    return 9 if blocks_of(NAME)[block].kind == "residual" else 1


def _layer_error(block: str, choice: BlockChoice, tensors: dict[str, Tensor]) -> float:
    """Mean squared error of a body's output on what the full network's layer really read."""
    network, end = network_of(NAME), end_of_body(blocks_of(NAME)[block])
    read = read_by(NAME, end)
    wanted = read.output_rows()
    if not choice.has_body:
        mean = tensors.get(f"{block}.mean", torch.zeros(wanted.shape[1]))
        return float(np.square(wanted - mean.numpy()).mean())
    kept = columns(kept_channels(blocks_of(NAME)[block], choice), _taps(block))
    weight, shift = matrix(network, end)[:, kept], bias(network, end)
    if f"{end}.weight" in tensors:
        weight = tensors[f"{end}.weight"].flatten(1).numpy()
    shift = tensors[f"{end}.bias"].numpy() if f"{end}.bias" in tensors else shift
    found = read.rows(_taps(block))[:, kept] @ weight.T + shift
    return float(np.square(wanted - found).mean())


@pytest.mark.parametrize(("block", "kept"), [(RESIDUAL, (0, 2)), (ATTENTION, (1,))])
def test_ridge_that_vanishes_is_least_squares_on_what_the_layer_read(
    block: str, kept: tuple[int, ...]
) -> None:
    mode = "groups" if _taps(block) == 9 else "heads"
    choice = BlockChoice(mode, kept)  # type: ignore[arg-type]
    found = _repaired(NetworkConfiguration.of({block: choice}), "ridge", ridge=1e-11)
    end = end_of_body(blocks_of(NAME)[block])
    read = read_by(NAME, end)
    places = columns(kept_channels(blocks_of(NAME)[block], choice), _taps(block))
    rows = read.rows(_taps(block))[:, places]
    rows = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
    fitted = np.linalg.lstsq(rows, read.output_rows())[0].T
    weight = found[f"{end}.weight"].flatten(1).numpy()
    assert np.abs(weight - fitted[:, :-1]).max() < 1e-5 * np.abs(fitted).max()
    best = float(np.square(read.output_rows() - rows @ fitted.T).mean())
    assert _layer_error(block, choice, found) == pytest.approx(best, rel=1e-9)
    assert best < 0.9 * _layer_error(block, choice, {})


@settings(max_examples=15)
@given(drawn=st.data())
def test_repair_never_increases_the_error_it_was_calibrated_on(drawn: st.DataObject) -> None:
    configuration = drawn.draw(configurations(case(NAME).blocks)).normalised(case(NAME).blocks)
    by_mean, fitted = (_repaired(configuration, repair) for repair in ("bias", "ridge"))
    assert _repaired(configuration, "none") == {}
    for block, choice in configuration.choices:
        errors = [_layer_error(block, choice, tensors) for tensors in ({}, by_mean, fitted)]
        slack = 1e-12 * errors[0]
        assert errors[1] <= errors[0] + slack, (block, choice, errors)
        assert errors[2] <= errors[1] + slack, (block, choice, errors)


@pytest.mark.parametrize("repair", ["bias", "ridge"])
def test_keeping_everything_changes_nothing(repair: Repair) -> None:
    blocks = blocks_of(NAME)
    every = {name: BlockChoice("channels", tuple(range(b.width))) for name, b in blocks.items()}
    every |= {ATTENTION: BlockChoice("heads", tuple(range(blocks[ATTENTION].units)))}
    residual = {k: v for k, v in every.items() if blocks[k].kind == "residual" or k == ATTENTION}
    assert _repaired(NetworkConfiguration.of(residual), repair) == {}


@pytest.mark.parametrize("repair", ["bias", "ridge"])
def test_cutting_what_nothing_reads_changes_nothing(repair: Repair) -> None:
    network = shared_copy(network_of(NAME))
    layer = network.get_submodule(f"{RESIDUAL}.out_layers.3")
    silent = torch.nn.Parameter(network.get_parameter(f"{RESIDUAL}.out_layers.3.weight").clone())
    with torch.no_grad():
        silent[:, 8:16] = 0.0
    layer.weight = silent
    configuration = NetworkConfiguration.of({RESIDUAL: BlockChoice("groups", (0, 2, 3))})
    found = repaired(network, configuration, calibrated(NAME), ALL, repair)
    smaller = sliced(network, configuration).state_dict()
    assert found
    assert max(float((found[key] - smaller[key]).abs().max()) for key in found) < 1e-9


def test_pixels_predict_removed_channels_where_rows_are_long() -> None:
    """With moments of pixels: least squares at the pixel, folded into every tap."""
    network, moments = network_of(NAME), calibrated(NAME, max_unfolded=100)
    choice = BlockChoice("groups", (0, 3))
    configuration = NetworkConfiguration.of({RESIDUAL: choice})
    found = repaired(network, configuration, moments, ALL, "ridge", ridge=1e-11)
    kept = list(kept_channels(blocks_of(NAME)[RESIDUAL], choice))
    lost = sorted(set(range(32)) - set(kept))
    pixels = read_by(NAME, f"{RESIDUAL}.out_layers.3").rows(1)
    known = np.concatenate([pixels[:, kept], np.ones((len(pixels), 1))], axis=1)
    predictor = np.linalg.lstsq(known, pixels[:, lost])[0].T
    kernel: FloatArray = network.get_parameter(f"{RESIDUAL}.out_layers.3.weight").detach().numpy()
    folded = np.einsum("olyx,lk->okyx", kernel[:, lost], predictor)
    wanted = kernel[:, kept] + folded[:, :-1]
    assert found[f"{RESIDUAL}.out_layers.3.weight"].numpy() == pytest.approx(wanted, abs=1e-6)
    wanted_bias = bias(network, f"{RESIDUAL}.out_layers.3") + folded[:, -1].sum((1, 2))
    assert found[f"{RESIDUAL}.out_layers.3.bias"].numpy() == pytest.approx(wanted_bias, abs=1e-6)


def _mean_outputs(network: UNet, layer: str) -> FloatArray:
    """Mean image (C, H, W) that a layer puts out over the trajectory of the full network."""
    states: list[tuple[Tensor, ...]] = []
    outputs: list[Tensor] = []
    full = network_of(NAME)
    keep = full.register_forward_pre_hook(lambda _module, given: states.append(given))
    with torch.no_grad():
        run(PROGRAM, denoise_with(NAME)(full), starts())
    keep.remove()
    handle = network.get_submodule(layer).register_forward_hook(
        lambda _module, _given, output: outputs.append(output)
    )
    with torch.no_grad():
        for state in states:
            network(*state)
    handle.remove()
    means: FloatArray = torch.cat(outputs).mean(0).numpy()
    return means


def _cut_and_repaired(
    configuration: NetworkConfiguration, repair: Repair, *, max_unfolded: int = 2304
) -> UNet:
    calibration = calibrated(NAME, max_unfolded=max_unfolded)
    network = sliced(network_of(NAME), configuration)
    apply_repair(network, repaired(network_of(NAME), configuration, calibration, ALL, repair))
    return network


@pytest.mark.parametrize("repair", ["bias", "ridge"])
def test_the_mean_output_is_that_of_the_full_body_over_all_pixels(repair: Repair) -> None:
    configuration = NetworkConfiguration.of({RESIDUAL: BlockChoice("groups", (1, 2))})
    end = f"{RESIDUAL}.out_layers.3"
    full = _mean_outputs(network_of(NAME), end)
    by_pixel = _mean_outputs(_cut_and_repaired(configuration, repair), end) - full
    without = _mean_outputs(sliced(network_of(NAME), configuration), end) - full
    assert np.abs(by_pixel.mean((1, 2))).max() < 1e-12
    assert np.abs(without.mean((1, 2))).max() > 1e-2


def test_from_moments_of_pixels_most_of_the_mean_is_made_up_for_inside_the_border() -> None:
    configuration = NetworkConfiguration.of({RESIDUAL: BlockChoice("groups", (1, 2))})
    end = f"{RESIDUAL}.out_layers.3"
    full = _mean_outputs(network_of(NAME), end)
    network = _cut_and_repaired(configuration, "bias", max_unfolded=100)
    inside = (slice(None), slice(1, -1), slice(1, -1))
    left = np.sqrt(np.square((_mean_outputs(network, end) - full)[inside].mean((1, 2))).mean())
    smaller = sliced(network_of(NAME), configuration)
    before = np.sqrt(np.square((_mean_outputs(smaller, end) - full)[inside].mean((1, 2))).mean())
    assert left < 0.5 * before, f"{left:.4f} of {before:.4f}"


@pytest.mark.parametrize("block", ["input_blocks.1.0", "middle_block.1", "output_blocks.3.0"])
def test_a_removed_body_becomes_its_mean(block: str) -> None:
    configuration = NetworkConfiguration.of({block: BlockChoice("removed")})
    network = _cut_and_repaired(configuration, "bias")
    empty = sliced(network_of(NAME), configuration)
    layer, bare = network.get_submodule(block), empty.get_submodule(block)
    channels = 32 if block == "middle_block.1" else layer.get_parameter("mean").shape[0]
    x = torch.cos(torch.arange(2 * 48 * 16.0, dtype=torch.float64)).reshape(2, 48, 4, 4)
    reads = {"input_blocks.1.0": 16, "middle_block.1": 32, "output_blocks.3.0": 32}[block]
    given = (x[:, :reads],) if block == "middle_block.1" else (x[:, :reads], torch.zeros(2, 64))
    added = layer(*given) - bare(*given)
    mean = read_by(NAME, end_of_body(blocks_of(NAME)[block])).output_rows().mean(0)
    assert f"{block}.mean" in network.state_dict()
    assert f"{block}.mean" not in empty.state_dict()
    assert added.shape[1] == channels
    difference = added - torch.from_numpy(mean)[:, None, None]
    assert difference.abs().max() < 1e-12
    assert np.abs(mean).max() > 1e-2


def test_a_reused_body_is_not_repaired() -> None:
    choices = {ATTENTION: BlockChoice("reused"), RESIDUAL: BlockChoice("groups", (0, 1))}
    configuration = NetworkConfiguration.of(choices)
    found = _repaired(configuration, "ridge")
    assert {name.rsplit(".", 3)[0] for name in found} == {RESIDUAL}
    cache = BodyCache.between([configuration])
    network = sliced(network_of(NAME), configuration, cache=cache)
    apply_repair(network, found)
    stray = {**found, f"{ATTENTION}.mean": torch.zeros(32)}
    with pytest.raises(InvalidInput, match=rf"{ATTENTION}\.mean: \(32,\); allowed: no such tensor"):
        apply_repair(network, stray)


def test_what_the_full_network_shares_is_not_written_into() -> None:
    network = network_of(NAME)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    smaller = _cut_and_repaired(CUT, "ridge")
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    changed = [
        name
        for name, value in sliced(network, CUT).state_dict().items()
        if not torch.equal(value, smaller.state_dict()[name])
    ]
    assert sorted(changed) == sorted(
        f"{end}.{part}"
        for end in (f"{RESIDUAL}.out_layers.3", f"{ATTENTION}.proj_out")
        for part in ("weight", "bias")
    )


def test_a_repair_takes_the_type_of_the_network_it_is_given_to() -> None:
    network = sliced(shared_copy(network_of(NAME)).float(), CUT)
    apply_repair(network, _repaired(CUT, "ridge"))
    assert {value.dtype for value in network.state_dict().values()} == {torch.float32}
    assert network.get_parameter("middle_block.0.mean").dtype == torch.float32


def test_tensors_that_do_not_belong_to_what_was_cut_are_refused_and_none_is_set() -> None:
    found = _repaired(CUT, "ridge")
    end = f"{RESIDUAL}.out_layers.3"
    wrong = {
        f"{end}.weight: missing": {k: v for k, v in found.items() if k != f"{end}.weight"},
        "middle_block.0.mean: missing": {k: v for k, v in found.items() if "block.0.m" not in k},
        "out.2.bias: (2,); allowed: no such": {**found, "out.2.bias": torch.zeros(2)},
        f"{end}.bias: (31,); allowed: (32,)": {**found, f"{end}.bias": torch.zeros(31)},
    }
    for message, tensors in wrong.items():
        network = sliced(network_of(NAME), CUT)
        with pytest.raises(InvalidInput) as caught:
            apply_repair(network, tensors)
        assert caught.value.message.startswith(f"repair.{message}")
        assert "middle_block.1.mean" not in network.state_dict()
    network = sliced(network_of(NAME), CUT)
    narrow = NetworkConfiguration.of({**dict(CUT.choices), RESIDUAL: BlockChoice("groups", (0,))})
    others = _repaired(narrow, "ridge")
    with pytest.raises(InvalidInput, match=r"\(32, 8, 3, 3\); allowed: \(32, 16, 3, 3\)"):
        apply_repair(network, others)
    apply_repair(sliced(network_of(NAME), CUT), {})


def test_a_file_holds_the_repair_of_each_configuration(tmp_path: Path) -> None:
    path, moments = tmp_path / "repair.safetensors", tmp_path / "moments.safetensors"
    written = [_repaired(CUT, "ridge"), {}, _repaired(CUT, "bias")]
    sha256 = save_repair(path, written)
    found = load_repair(path)
    assert [sorted(tensors) for tensors in found] == [sorted(tensors) for tensors in written]
    for ours, theirs in zip(found, written, strict=True):
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    calibrated(NAME).save(moments)
    again = repaired(network_of(NAME), CUT, load_calibration(moments), ALL, "ridge")
    assert save_repair(path, [again, {}, written[2]]) == sha256


@pytest.mark.parametrize("count", [0, 4])
def test_a_file_holds_as_many_configurations_as_an_architecture(tmp_path: Path, count: int) -> None:
    with pytest.raises(InvalidInput, match=f"{count} of them; allowed: 1 to 3"):
        save_repair(tmp_path / "repair.safetensors", [{}] * count)


def test_files_that_are_no_repair_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "repair.safetensors"
    metadata = {METADATA_KEY: '{"configurations":1,"version":1}'}
    for name, value in {
        "1.a": torch.zeros(1),
        "a": torch.zeros(1),
        "0.a": torch.ones(1).int(),
    }.items():
        path.write_bytes(save({name: value}, metadata=metadata))
        with pytest.raises(InvalidInput, match=f"tensor '{name}'; allowed: floats named 0"):
            load_repair(path)
    path.write_bytes(save({"0.a": torch.zeros(1)}, metadata={METADATA_KEY: '{"version":1}'}))
    with pytest.raises(InvalidInput, match=r"metadata\.configurations"):
        load_repair(path)
    assert load(path.read_bytes())


@pytest.mark.parametrize("ridge", [0.0, -1.0, float("nan"), float("inf")])
def test_a_ridge_that_is_none_is_refused(ridge: float) -> None:
    with pytest.raises(InvalidInput, match="ridge="):
        _repaired(CUT, "ridge", ridge=ridge)


def test_moments_of_another_network_are_refused() -> None:
    network = load_network(resolve("zoo:digits"))
    configuration = NetworkConfiguration.of({"middle_block.0": BlockChoice("groups", (0,))})
    with pytest.raises(InvalidInput, match="from 32 to 32 channels; allowed: 64 to 64"):
        repaired(network, configuration, calibrated(NAME), ALL, "ridge")
    deep = NetworkConfiguration.of({"middle_block.2": BlockChoice("groups", (0,))})
    partial = calibrated(NAME).bands[0]
    shallow = type(calibrated(NAME))(
        bands=({k: v for k, v in partial.items() if k != "middle_block.2"},),
        program="",
        of_call=(0,),
        num_images=1,
    )
    with pytest.raises(InvalidInput, match=r"no moments of middle_block\.2"):
        repaired(network_of(NAME), deep, shallow, [0], "bias")


def _digits_errors(images: int) -> dict[Repair, float]:
    """Root mean squared difference of 64 samples from the full network's, of 1/4 cut everywhere."""
    card = resolve("zoo:digits")
    network, process = load_network(card), card.make_process()
    program = trace(grid("log-snr", process, 6), process=process, solver="dpm-solver++-2m")
    blocks = [block for block in adm_blocks(network.config) if block.kind == "residual"]
    cut = {b.name: BlockChoice("groups", tuple(range(b.units * 3 // 4))) for b in blocks}
    configuration = NetworkConfiguration.of(cut)
    noise = torch.randn(images + 64, 1, 8, 8, generator=torch.Generator().manual_seed(0))

    def sample(model: nn.Module, x: Tensor) -> Tensor:
        denoiser = model_denoiser(card, labels=balanced_labels(card, len(x)), network=model)
        return run(program, denoiser, x)

    calibration = calibrate(
        network,
        program,
        lambda model: model_denoiser(card, labels=balanced_labels(card, images), network=model),
        noise[:images],
        of_call=[0] * 6,
    )
    errors: dict[Repair, float] = {}
    with torch.no_grad():
        wanted = sample(network, noise[images:])
        for repair in ("none", "bias", "ridge"):
            smaller = sliced(network, configuration)
            apply_repair(smaller, repaired(network, configuration, calibration, [0], repair))
            found = sample(smaller, noise[images:])
            errors[repair] = float((found - wanted).square().mean().sqrt())
    return errors


def test_digits_of_a_cut_network_come_closer_with_each_repair() -> None:
    errors = _digits_errors(64)
    assert errors["bias"] < 0.9 * errors["none"], errors
    assert errors["ridge"] < 0.8 * errors["bias"], errors
