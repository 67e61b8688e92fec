"""Scores from losses and outputs: by finite differences, and by networks that were cut."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from fewstep.denoisers import Denoiser
from fewstep.denoisers.base import StackedLevel
from fewstep.errors import InvalidInput
from fewstep.networks.adm.unet import UNet
from fewstep.networks.models import load_network, resolve
from fewstep.networks.pruning.cache import BodyCache
from fewstep.networks.pruning.configuration import BlockChoice, Mode, NetworkConfiguration
from fewstep.networks.pruning.importance import Scores, coupled_slices
from fewstep.networks.pruning.importance_sensitivity import output_sensitivity
from fewstep.networks.pruning.importance_taylor import taylor
from fewstep.networks.pruning.output_probe import OutputProbe, probe_at
from fewstep.networks.pruning.slicing import sliced
from fewstep.networks.zoo.digits_data import load_digits_images
from fewstep.running import run
from fewstep.solvers import Kind
from tests.unit.networks.pruning.cases import case
from tests.unit.networks.pruning.trajectories import (
    CALLS,
    PROCESS,
    PROGRAM,
    blocks_of,
    denoise_with,
    network_of,
    starts,
)

NAME = "adm-updown"
LABELS = torch.tensor([0, 1, 2, 0])
IMAGES = torch.sin(torch.arange(4 * 128.0, dtype=torch.float64) * 1.7).reshape(4, 2, 8, 8)
NOISE = starts(4)
TIMES = [0.05, 0.3, 0.8]


def _loss(network: UNet, time: float) -> float:
    level = PROCESS.at(time)
    state = level.alpha * IMAGES + level.sigma * NOISE
    with torch.no_grad():
        predicted = network(state, torch.full((4,), PROCESS.network_time(time)), LABELS)
    return float((predicted - NOISE).square().mean())


def _slope(block: str, unit: int, times: list[float]) -> float:
    """How the loss changes as all weights of a unit grow by the same factor."""
    step, losses = 1e-5, []
    for factor in (1 + step, 1 - step):
        network = copy.deepcopy(network_of(NAME))
        for part in coupled_slices(network, blocks_of(NAME)[block]):
            tensor = network.get_parameter(part.tensor)
            with torch.no_grad():
                places = torch.from_numpy(part.places[unit])
                tensor.index_copy_(part.dim, places, tensor.index_select(part.dim, places) * factor)
        losses.append(sum(_loss(network, time) for time in times))
    return (losses[0] - losses[1]) / (2 * step)


def _taylor(times: list[float], *, micro_batch: int = 64) -> Scores:
    return taylor(
        network_of(NAME),
        IMAGES,
        LABELS,
        PROCESS,
        times=times,
        noise=NOISE,
        min_loss_share=0.0,
        micro_batch=micro_batch,
    )


@pytest.mark.parametrize("block", ["input_blocks.1.0", "middle_block.1", "output_blocks.3.0"])
def test_taylor_is_the_slope_of_the_loss_along_a_unit(block: str) -> None:
    scores = _taylor(TIMES)[block]
    slopes = [abs(_slope(block, unit, TIMES)) for unit in range(len(scores))]
    assert scores == pytest.approx(np.array(slopes), rel=1e-5, abs=1e-8)
    assert scores.max() > 1e-3


def test_times_count_until_the_loss_falls_below_its_share() -> None:
    card = resolve("zoo:digits")
    network, process = load_network(card), card.make_process()
    pixels, classes = load_digits_images("heldout")
    images = torch.from_numpy(pixels[:8]).float() / 127.5 - 1
    labels, noise = torch.from_numpy(classes[:8]), starts(4).float().reshape(8, 1, 8, 8)
    times = [process.time_of(step) for step in (5, 60, 600, 900)]

    def loss(time: float) -> float:
        level, network_time = process.at(time), torch.full((8,), process.network_time(time))
        predicted = network(level.alpha * images + level.sigma * noise, network_time, labels)
        return float((predicted - noise).square().mean())

    def scores(count: int, share: float = 0.05) -> Scores:
        return taylor(
            network,
            images,
            labels,
            process,
            times=times[:count],
            noise=noise,
            min_loss_share=share,
        )

    losses = [loss(time) for time in times]
    shares = [value / max(losses[: place + 1]) for place, value in enumerate(losses)]
    assert min(shares[:2]) > 0.05 > shares[2], shares  # so two of four count
    found, two, every = scores(4), scores(2, 0.0), scores(4, 0.0)
    assert all(np.array_equal(found[block], two[block]) for block in found)
    assert not any(np.array_equal(found[block], every[block]) for block in found)


def test_absolute_values_come_after_the_sum_over_times_and_units() -> None:
    one, other = _taylor(TIMES[:1]), _taylor(TIMES[1:])
    both = _taylor(TIMES)
    each = taylor(
        network_of(NAME), IMAGES, LABELS, PROCESS, times=TIMES, noise=NOISE, combine="each"
    )
    is_cancelled = False
    for block in blocks_of(NAME):
        assert (both[block] <= one[block] + other[block] + 1e-12).all()
        assert (both[block] <= each[block] + 1e-12).all()
        is_cancelled |= bool((both[block] < 0.9 * (one[block] + other[block])).any())
    assert is_cancelled


def test_taylor_is_the_same_in_batches_and_leaves_no_gradients() -> None:
    whole, parts = _taylor(TIMES[:1]), _taylor(TIMES[:1], micro_batch=3)
    for block in blocks_of(NAME):
        assert parts[block] == pytest.approx(whole[block], rel=1e-7, abs=1e-12)
    assert all(parameter.grad is None for parameter in network_of(NAME).parameters())


@pytest.mark.parametrize("times", [[], [0.5, 0.1], [0.1, 0.1]])
def test_times_that_do_not_ascend_are_refused(times: list[float]) -> None:
    with pytest.raises(InvalidInput, match="ascending from clean to noisy"):
        _taylor(times)


def _states_of_call(call: int, scale: float) -> list[tuple[Tensor, ...]]:
    """What the full network is given in a call, by a hook of our own."""
    given: list[tuple[Tensor, ...]] = []
    network = network_of(NAME)
    handle = network.register_forward_pre_hook(lambda _module, inputs: given.append(inputs))
    with torch.no_grad():
        run(PROGRAM, denoise_with(NAME, scale=scale, count=4)(network), starts(4))
    handle.remove()
    assert len(given) == CALLS
    return given[call : call + 1]


def _probe(call: int, *, scale: float = 1.0, count: int = 4) -> OutputProbe:
    denoise = denoise_with(NAME, scale=scale, count=count)
    return probe_at(network_of(NAME), PROGRAM, denoise, starts(count), call=call, micro_batch=5)


def test_sensitivity_is_the_change_of_the_output_of_a_network_that_was_cut() -> None:
    call, scale = 2, 1.5
    probe = _probe(call, scale=scale)
    found = output_sensitivity(probe)
    (inputs,) = _states_of_call(call, scale)
    assert len(inputs[0]) == 8  # with the label, and without
    with torch.no_grad():
        full = network_of(NAME)(*inputs)
        for name in ("input_blocks.1.0", "middle_block.1"):
            mode: Mode = "heads" if name == "middle_block.1" else "groups"
            for unit in range(4):
                kept = tuple(other for other in range(4) if other != unit)
                cut = case(NAME).cut({name: BlockChoice(mode, kept)})
                wanted = float((cut(*inputs) - full).square().mean())
                assert found[name][unit] == pytest.approx(wanted, rel=1e-9)
                assert probe.change(cut) == pytest.approx(wanted, rel=1e-9)
    assert set(found) == set(blocks_of(NAME))
    assert probe.change(network_of(NAME)) == 0.0, "scored units come back"


def test_reuse_is_the_change_by_a_network_that_adds_what_its_body_was_in_the_call_before() -> None:
    call, scale = 2, 1.5
    probe = _probe(call, scale=scale)
    ((before,), (inputs,)) = (_states_of_call(c, scale) for c in (call - 1, call))
    with torch.no_grad():
        full = network_of(NAME)(*inputs)
        for name in ("input_blocks.1.0", "middle_block.1"):
            cache = BodyCache([name])
            sliced(network_of(NAME), NetworkConfiguration(), cache=cache)(*before)
            reusing = NetworkConfiguration.of({name: BlockChoice("reused")})
            changed = sliced(network_of(NAME), reusing, cache=cache)(*inputs)
            wanted = float((changed - full).square().mean())
            assert probe.change_by_reuse(blocks_of(NAME)[name]) == pytest.approx(wanted, rel=1e-9)
            assert wanted > 0.0


def test_nothing_is_reused_at_the_first_call() -> None:
    probe = _probe(0, count=2)
    assert {probe.change_by_reuse(block) for block in blocks_of(NAME).values()} == {None}


def test_calls_that_there_are_not_are_refused() -> None:
    def silent(_network: object) -> Denoiser:
        def constant(x: Tensor, at: StackedLevel, kind: Kind = "denoised") -> Tensor:
            return x

        return constant

    denoise = denoise_with(NAME, count=4)
    with pytest.raises(InvalidInput, match="call=3: allowed: 0 to 2"):
        probe_at(network_of(NAME), PROGRAM, denoise, starts(4), call=3)
    with pytest.raises(InvalidInput, match="call=1: it does not run the network"):
        probe_at(network_of(NAME), PROGRAM, silent, starts(4), call=1)
