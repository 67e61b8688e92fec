"""Scores from weights and moments are what a slower way to compute them says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fewstep.errors import InvalidInput
from fewstep.networks.adm.unet import UNet
from fewstep.networks.pruning.blocks import PrunableBlock
from fewstep.networks.pruning.calibration import Calibration, calibrate
from fewstep.networks.pruning.configuration import BlockChoice, NetworkConfiguration
from fewstep.networks.pruning.importance import (
    Granularity,
    Scores,
    channel_ranking,
    magnitude,
    ranking,
    reconstruction,
)
from fewstep.networks.pruning.importance_sensitivity import output_sensitivity
from fewstep.networks.pruning.importance_taylor import taylor
from fewstep.networks.pruning.output_probe import probe_at
from fewstep.networks.pruning.slicing import end_of_body, sliced
from tests.unit.networks.pruning.cases import case
from tests.unit.networks.pruning.test_slicing import _groups_and_channels_within, permuted
from tests.unit.networks.pruning.trajectories import (
    CALLS,
    PROCESS,
    PROGRAM,
    FloatArray,
    blocks_of,
    calibrated,
    columns,
    denoise_with,
    matrix,
    network_of,
    read_by,
    starts,
)

ADM = ["adm", "adm-scale-shift", "adm-updown"]
NAME = "adm-scale-shift"
ALL = range(CALLS)


def _sum(network: UNet, *, power: int) -> float:
    return sum(float(value.abs().pow(power).sum()) for value in network.state_dict().values())


@pytest.mark.parametrize("name", ADM)
def test_magnitude_is_what_the_network_loses_with_a_unit(name: str) -> None:
    network = network_of(name)
    l1, l2 = magnitude(network, norm="l1"), magnitude(network)
    for block in case(name).blocks[1:-1:2]:
        mode = "groups" if block.kind == "residual" else "heads"
        for unit in range(block.units):
            kept = tuple(other for other in range(block.units) if other != unit)
            choice = BlockChoice(mode, kept)  # type: ignore[arg-type]
            smaller = sliced(network, NetworkConfiguration.of({block.name: choice}))
            lost = _sum(network, power=1) - _sum(smaller, power=1)
            assert l1[block.name][unit] == pytest.approx(lost, rel=1e-9)
            lost = _sum(network, power=2) - _sum(smaller, power=2)
            assert l2[block.name][unit] ** 2 == pytest.approx(lost, rel=1e-9)


@pytest.mark.parametrize("name", ADM)
def test_a_group_loses_what_its_channels_lose(name: str) -> None:
    network = network_of(name)
    whole = magnitude(network, norm="l1")
    single = magnitude(network, norm="l1", granularity="channels")
    for block in case(name).blocks:
        size = block.width if block.kind == "residual" else block.units
        assert single[block.name].shape == (size,)
        apart = single[block.name].reshape(block.units, -1).sum(1)
        assert np.abs(apart / whole[block.name] - 1).max() < 1e-12


def _best_error_without(
    rows: FloatArray, weight: FloatArray, lost: list[int], penalty: float
) -> float:
    """Least squares, by adding rows: error and penalty over weights that do not read `lost`."""
    kept = np.setdiff1d(np.arange(rows.shape[1]), lost)
    centred = rows - rows.mean(0)
    extra = np.sqrt(penalty * len(rows)) * np.eye(rows.shape[1])
    stacked = np.concatenate([centred, extra])
    wanted = stacked @ weight.T
    fitted = np.linalg.lstsq(stacked[:, kept], wanted)[0]
    error: float = np.square(wanted - stacked[:, kept] @ fitted).sum() / len(rows)
    return error


@pytest.mark.parametrize(
    ("block", "granularity"),
    [
        ("input_blocks.1.0", "units"),
        ("input_blocks.1.0", "channels"),
        ("input_blocks.3.1", "units"),
    ],
)
def test_reconstruction_is_the_best_error_without_a_unit(
    block: str, granularity: Granularity
) -> None:
    known = blocks_of(NAME)[block]
    taps = 9 if known.kind == "residual" else 1
    rows = read_by(NAME, end_of_body(known)).rows(taps)
    scores = reconstruction(
        network_of(NAME), calibrated(NAME), ALL, ridge=1e-2, granularity=granularity
    )[block]
    width = known.width // len(scores)
    penalty = 1e-2 * float(rows.var(0).mean())
    for unit in range(0, len(scores), 5 if granularity == "channels" else 1):
        lost = columns(range(unit * width, (unit + 1) * width), taps)
        weight = matrix(network_of(NAME), end_of_body(known))
        best = _best_error_without(rows, weight, lost, penalty)
        assert scores[unit] == pytest.approx(best, rel=1e-6)


def test_reconstruction_from_pixels_sums_over_taps() -> None:
    block = "input_blocks.3.0"
    rows = read_by(NAME, f"{block}.out_layers.3").rows(1)
    found = reconstruction(network_of(NAME), calibrated(NAME, max_unfolded=100), ALL, ridge=1e-2)[
        block
    ]
    weight = matrix(network_of(NAME), f"{block}.out_layers.3").reshape(32, 32, 9)
    penalty = 1e-2 * float(rows.var(0).mean())
    for unit in range(4):
        lost = list(range(8 * unit, 8 * unit + 8))
        taps = (_best_error_without(rows, weight[:, :, tap], lost, penalty) for tap in range(9))
        assert found[unit] == pytest.approx(sum(taps), rel=1e-6)


def test_ranking_puts_the_most_important_first_and_of_equal_ones_the_first() -> None:
    assert ranking({"a": np.array([1.0, 3.0, 1.0, 3.0])}) == {"a": (1, 3, 0, 2)}


def test_channels_are_ranked_so_that_each_group_keeps_as_many() -> None:
    blocks = case(NAME).blocks
    scores = magnitude(network_of(NAME), granularity="channels")
    order = channel_ranking(scores, blocks)
    for block in blocks:
        found = order[block.name]
        if block.kind == "attention":
            assert found == ranking(scores)[block.name]
            continue
        assert sorted(found) == list(range(block.width))
        for each in range(1, block.unit_width + 1):
            kept = tuple(sorted(found[: each * block.units]))
            choice = {block.name: BlockChoice("channels", kept)}
            NetworkConfiguration.of(choice).check(blocks)
            for group in range(block.units):
                members = range(group * block.unit_width, (group + 1) * block.unit_width)
                inside = [scores[block.name][c] for c in members if c in kept]
                outside = [scores[block.name][c] for c in members if c not in kept]
                assert min(inside) >= max(outside, default=0.0)


def _all_scores(network: UNet, calibration: Calibration) -> dict[str, Scores]:
    images = torch.sin(torch.arange(4 * 128.0, dtype=torch.float64)).reshape(4, 2, 8, 8)
    return {
        "magnitude": magnitude(network),
        "reconstruction": reconstruction(network, calibration, ALL),
        "taylor": taylor(
            network, images, None, PROCESS, times=[0.1, 0.5], noise=starts(4), min_loss_share=0.0
        ),
        "sensitivity": output_sensitivity(
            probe_at(network, PROGRAM, denoise_with(NAME, count=2), starts(2), call=1)
        ),
        "channels": magnitude(network, granularity="channels"),
    }


def test_scores_follow_groups_and_channels_that_change_places() -> None:
    def place(block: PrunableBlock, name: str) -> list[int]:
        if block.kind == "attention":
            return list(range(block.units))
        order = _groups_and_channels_within(block)
        return order if name == "channels" else list(reversed(range(block.units)))

    network = permuted(case(NAME), _groups_and_channels_within)
    assert isinstance(network, UNet)
    moments = calibrate(network, PROGRAM, denoise_with(NAME), starts(), of_call=ALL)
    moved = _all_scores(network, moments)
    for name, scores in _all_scores(network_of(NAME), calibrated(NAME)).items():
        for block in case(NAME).blocks:
            order = place(block, name)
            before, after = scores[block.name], moved[name][block.name]
            assert after == pytest.approx(before[order], rel=1e-7), (name, block.name)
            ranked = [order[unit] for unit in ranking(moved[name])[block.name]]
            assert tuple(ranked) == ranking(scores)[block.name]


def test_scores_of_a_cut_network_and_ridges_that_are_none_are_refused() -> None:
    choice = {"middle_block.0": BlockChoice("groups", (0,))}
    smaller = sliced(network_of(NAME), NetworkConfiguration.of(choice))
    with pytest.raises(InvalidInput, match="cut before"):
        magnitude(smaller)
    with pytest.raises(InvalidInput, match="cut before"):
        reconstruction(smaller, calibrated(NAME), ALL)
    with pytest.raises(InvalidInput, match="ridge=0"):
        reconstruction(network_of(NAME), calibrated(NAME), ALL, ridge=0.0)
