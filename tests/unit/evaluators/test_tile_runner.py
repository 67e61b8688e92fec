"""Running tiles: an image never depends on its neighbours, its place or its tile's padding."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluators.banks import Bank, FloatArray
from evaluators.features import load_extractor, to_uint8
from evaluators.packing import Part, Segment, Tile, pack
from evaluators.score import Numerics, Task
from evaluators.tasks import make_task
from evaluators.tile_runner import TileRunner, load_runner
from fewstep.denoisers import class_conditional
from fewstep.errors import ChecksFailed
from fewstep.networks.models import load_network, resolve
from fewstep.process import VPDiscrete
from fewstep.program import Program, trace
from fewstep.running import run
from tests.model_folder import write_model

PROCESS = VPDiscrete.linear()
BANK = Bank("search")
SCHEDULES = {
    "even": (1.0, 0.75, 0.5, 0.25, 0.0),
    "late": (0.6, 0.4, 0.2, 0.05, 0.0),
    "early": (1.0, 0.9, 0.8, 0.7, 0.0),
}


def program(schedule: str, solver: str = "ddim") -> Program:
    return trace(SCHEDULES[schedule], process=PROCESS, solver=solver)


def segment(schedule: str, start: int, stop: int, solver: str = "ddim") -> Segment:
    return Segment(program(schedule, solver), BANK, start, stop)


def tile(*segments: Segment) -> Tile:
    return Tile(tuple(Part(work, each) for work, each in enumerate(segments)))


@pytest.fixture(params=["random-weights", "zoo-digits"])
def any_runner(request: pytest.FixtureRequest, root: Path) -> TileRunner:
    """A model with random weights and pixel features; the bundled one with its classifier."""
    model = "file:random" if request.param == "random-weights" else "zoo:digits"
    return load_runner(
        make_task(model, numerics=Numerics(micro_batch=32), roots=[root]), roots=[root]
    )


@pytest.mark.parametrize("solver", ["ddim", "heun", "dpm-solver++-2m"])
def test_features_are_the_same_bits_at_any_place_beside_any_neighbours(
    any_runner: TileRunner, solver: str
) -> None:
    alone = any_runner.features(tile(segment("even", 0, 12, solver)))
    first = any_runner.features(
        tile(segment("even", 0, 12, solver), segment("late", 3, 23, solver))
    )
    last = any_runner.features(
        tile(
            segment("early", 0, 7, solver),
            segment("late", 9, 20, solver),
            segment("even", 0, 12, solver),
        )
    )
    assert np.array_equal(first[:12], alone)
    assert np.array_equal(last[18:30], alone)
    assert np.unique(alone, axis=0).shape[0] == 12


def test_images_are_the_same_bits_under_guidance_too(task: Task, root: Path) -> None:
    guided = load_runner(replace(task, guidance_scale=2.5), roots=[root])
    with torch.inference_mode():
        alone = guided.images(tile(segment("even", 4, 9)))[:5]
        beside = guided.images(tile(segment("late", 0, 20), segment("even", 4, 9)))[20:25]
        plain = load_runner(task, roots=[root]).images(tile(segment("even", 4, 9)))[:5]
    assert torch.equal(alone, beside)
    assert not torch.equal(alone, plain)


def test_a_network_that_explodes_for_one_candidate_leaves_its_neighbours_alone(
    runner: TileRunner,
) -> None:
    broken = Program.from_dict(program("late").to_dict() | {"output": {"d3": 3e38, "d2": 3e38}})
    healthy = Program.from_dict(program("late").to_dict() | {"output": {"d3": 1.0, "d2": 0.5}})
    unclipped = replace(runner, task=replace(runner.task, clip_denoised=False))
    parts = tile(Segment(broken, BANK, 0, 10), Segment(healthy, BANK, 0, 10))
    features = unclipped.features(parts)
    alone = unclipped.features(tile(Segment(healthy, BANK, 0, 10)))
    assert np.isnan(features[:10]).all(axis=1).any()
    assert np.isfinite(features[10:]).all()
    assert np.array_equal(features[10:], alone)


def test_cutting_work_into_other_tiles_changes_no_bit(task: Task, runner: TileRunner) -> None:
    work = [segment("even", 0, 40), segment("late", 0, 17), segment("early", 5, 30)]
    expected = _features(runner, work)
    for micro_batch in (16, 64):
        other = replace(
            runner, task=replace(task, numerics=replace(task.numerics, micro_batch=micro_batch))
        )
        for found, wanted in zip(_features(other, work), expected, strict=True):
            assert np.array_equal(found, wanted)


def test_images_are_those_of_the_library_run_with_the_bank_s_noise_and_labels(
    task: Task, runner: TileRunner, root: Path
) -> None:
    bank = task.noise_bank(BANK)
    labels = bank.labels(0, 32)
    assert labels is not None
    network = load_network(resolve("file:random", roots=[root]))
    denoiser = class_conditional(network, labels=torch.from_numpy(labels), null_label=10, clip=1.0)
    with torch.inference_mode():
        x = torch.from_numpy(bank.noise(0, 32))
        expected = run(program("even"), denoiser, x)
        found = runner.images(tile(segment("even", 0, 32)))
    assert torch.equal(found, expected)


def test_a_stochastic_program_s_noise_belongs_to_the_image_not_to_its_place(
    runner: TileRunner,
) -> None:
    nodes = program("even").to_dict() | {"output": {"d3": 1.0, "n0": 0.1, "n1": 0.2}}
    noisy = Program.from_dict(nodes | {"noise_terms": 2})
    with torch.inference_mode():
        whole = runner.images(tile(Segment(noisy, BANK, 0, 20)))
        part = runner.images(tile(Segment(noisy, BANK, 15, 20), Segment(noisy, BANK, 0, 3)))
        plain = runner.images(tile(segment("even", 0, 20)))
    assert torch.equal(part[:5], whole[15:20])
    assert torch.equal(part[5:8], whole[:3])
    terms = [runner.task.noise_bank(BANK).noise(0, 20, term=term) for term in (0, 1)]
    added = (whole - plain)[:20].numpy()
    np.testing.assert_allclose(added, 0.1 * terms[0] + 0.2 * terms[1], atol=1e-6)


def test_an_unconditional_model_is_run_without_labels(tmp_path: Path) -> None:
    write_model(tmp_path, is_conditional=False)
    task = make_task("file:random", numerics=Numerics(micro_batch=16), roots=[tmp_path])
    features = load_runner(task, roots=[tmp_path]).features(tile(segment("even", 0, 16)))
    assert features.shape == (16, 64)
    assert np.isfinite(features).all()


def test_a_model_that_changed_since_the_task_was_made_is_not_loaded(task: Task, root: Path) -> None:
    with pytest.raises(ChecksFailed, match=r"weights .* the task was made for 0000"):
        load_runner(replace(task, weights_sha256="0" * 64), roots=[root])
    with pytest.raises(ChecksFailed, match="extractor"):
        load_runner(replace(task, extractor="pixels@0"), roots=[root])


def test_pixels_are_rounded_to_the_nearest_level_and_limited() -> None:
    values = torch.tensor([-9.0, -1.0, -1.0 + 0.4 / 127.5, -1.0 + 0.6 / 127.5, 0.0, 1.0, 1.1, 9.0])
    assert to_uint8(values).tolist() == [0, 0, 0, 1, 128, 255, 255, 255]


def test_features_do_not_see_differences_below_a_pixel_level(runner: TileRunner) -> None:
    image = torch.zeros(1, 1, 8, 8)
    features = [load_extractor("pixels").features(to_uint8(image + d)) for d in (0.0, 1e-4)]
    assert torch.equal(*features)


def _features(runner: TileRunner, work: list[Segment]) -> list[FloatArray]:
    """Features of each segment, put together from packed tiles."""
    found: list[list[FloatArray]] = [[] for _ in work]
    for each in pack(work, runner.task.numerics.micro_batch):
        features, start = runner.features(each), 0
        for part in each.parts:
            found[part.work].append(features[start : start + part.segment.rows])
            start += part.segment.rows
    return [np.concatenate(parts) for parts in found]
