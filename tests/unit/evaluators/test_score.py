"""Score keys: what changes them, what does not; numerics and asks that are refused."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace

import pytest

from evaluators.banks import Bank
from evaluators.score import Ask, Numerics, Score, Task, calls_of, score_key
from fewstep.errors import InvalidInput
from space.candidate import Candidate

CANDIDATE = Candidate(solver="ddim", times=(1.0, 0.5, 0.0))
ASK = Ask(CANDIDATE, Bank("search"), 256)
NUMERICS = Numerics()
TASK = Task(
    model="zoo:digits",
    weights_sha256="1" * 64,
    definition_sha256="2" * 64,
    image_shape=(1, 8, 8),
    num_classes=10,
    reference="all",
    reference_sha256="3" * 64,
    extractor="pixels@0",
    guidance_scale=1.0,
    clip_denoised=True,
    numerics=NUMERICS,
)
OTHER_TASKS = {
    "weights_sha256": replace(TASK, weights_sha256="4" * 64),
    "definition_sha256": replace(TASK, definition_sha256="4" * 64),
    "image_shape": replace(TASK, image_shape=(1, 16, 16)),
    "num_classes": replace(TASK, num_classes=5),
    "reference_sha256": replace(TASK, reference_sha256="4" * 64),
    "extractor": replace(TASK, extractor="pixels@1"),
    "guidance_scale": replace(TASK, guidance_scale=2.0),
    "clip_denoised": replace(TASK, clip_denoised=False),
    "device": replace(TASK, numerics=replace(NUMERICS, device="cuda")),
    "micro_batch": replace(TASK, numerics=replace(NUMERICS, micro_batch=128)),
    "threads": replace(TASK, numerics=replace(NUMERICS, threads=2)),
    "torch_version": replace(TASK, numerics=replace(NUMERICS, torch_version="0.1")),
}
OTHER_ASKS = {
    "solver": replace(ASK, candidate=replace(CANDIDATE, solver="heun")),
    "times": replace(ASK, candidate=replace(CANDIDATE, times=(1.0, 0.25, 0.0))),
    "options": replace(ASK, candidate=replace(CANDIDATE, solver="ddpm", options=(("eta", 0.5),))),
    "bank": replace(ASK, bank=Bank("selection")),
    "set_index": replace(ASK, bank=Bank("search", 1)),
    "labels": replace(ASK, bank=Bank("search", labels="random")),
    "num_samples": replace(ASK, num_samples=257),
}


@pytest.mark.parametrize("ingredient", OTHER_TASKS)
def test_every_ingredient_of_the_task_changes_the_key(ingredient: str) -> None:
    assert score_key(OTHER_TASKS[ingredient], ASK) != score_key(TASK, ASK)


@pytest.mark.parametrize("ingredient", OTHER_ASKS)
def test_every_ingredient_of_the_ask_changes_the_key(ingredient: str) -> None:
    assert score_key(TASK, OTHER_ASKS[ingredient]) != score_key(TASK, ASK)


def test_no_two_of_all_these_share_a_key() -> None:
    keys = {score_key(task, ASK) for task in OTHER_TASKS.values()}
    keys |= {score_key(TASK, ask) for ask in OTHER_ASKS.values()}
    assert len(keys) == len(OTHER_TASKS) + len(OTHER_ASKS)


def test_every_field_of_a_task_but_its_names_is_tried_above() -> None:
    tried = set(OTHER_TASKS) | {"numerics", "dtype"}  # float32 is the only dtype so far
    names = {field.name for field in (*fields(Task), *fields(Numerics))}
    assert names - tried == {"model", "reference"}


def test_renaming_model_or_reference_keeps_the_key() -> None:
    renamed = replace(TASK, model="file:copy", reference="everything")
    assert score_key(renamed, ASK) == score_key(TASK, ASK)


def test_an_alias_of_the_solver_and_an_integer_scale_keep_the_key() -> None:
    alias = replace(ASK, candidate=Candidate(solver="dpm-solver-1", times=CANDIDATE.times))
    assert score_key(TASK, alias) == score_key(TASK, ASK)
    assert score_key(replace(TASK, guidance_scale=1), ASK) == score_key(TASK, ASK)


def test_calls_are_images_times_nfe_times_guidance_passes() -> None:
    heun = replace(ASK, candidate=Candidate(solver="heun", times=(1.0, 0.5, 0.0)))
    assert calls_of(TASK, ASK) == 256 * 2
    assert calls_of(TASK, heun) == 256 * 3
    assert calls_of(replace(TASK, guidance_scale=3.0), heun) == 256 * 3 * 2


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"device": "tpu"}, "device"),
        ({"dtype": "float16"}, "dtype"),
        ({"micro_batch": 100}, "micro_batch"),
        ({"micro_batch": 0}, "micro_batch"),
        ({"micro_batch": 2**20}, "micro_batch"),
        ({"threads": 0}, "threads"),
    ],
)
def test_numerics_that_cannot_be_are_refused_by_field(
    arguments: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        Numerics(**arguments)  # type: ignore[arg-type]
    assert caught.value.field == field


@pytest.mark.parametrize("num_samples", [-1, 0, 1, True])
def test_an_ask_of_fewer_than_two_images_is_refused(num_samples: int) -> None:
    with pytest.raises(InvalidInput, match="at least 2"):
        Ask(CANDIDATE, Bank("search"), num_samples)


@pytest.mark.parametrize(("fid", "failure"), [(None, None), (1.0, "also failed")])
def test_a_score_is_a_distance_or_a_failure(fid: float | None, failure: str | None) -> None:
    with pytest.raises(AssertionError):
        Score(fid, failure, 1)


def test_naming_scores_and_scorers_loads_neither_torch_nor_ray() -> None:
    modules = "score, banks, tasks, scorers, scoring, packing, teacher, references, ray_scorer"
    heavy = "{'torch', 'ray', 'torch_fidelity'}"
    code = f"from evaluators import {modules}; import sys; print({heavy} & {{*sys.modules}})"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
