"""Score keys: what changes them, what does not; numerics and asks that are refused."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace

import pytest

from evaluators.banks import Bank
from evaluators.score import Ask, Guide, LevelGuide, Numerics, Score, Task, calls_of, score_key
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
GUIDE = Guide(name="noisy", sha256="5" * 64, gradient_cost=0.3)
OTHER_TASKS = {
    "guide": replace(TASK, guide=GUIDE),
    "guide's weights": replace(TASK, guide=replace(GUIDE, sha256="6" * 64)),
    "guide's cost": replace(TASK, guide=replace(GUIDE, gradient_cost=0.4)),
    "guide's scale": replace(TASK, guide=GUIDE, guidance_scale=2.0),
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
    assert names - tried == {"model", "reference", "level_guide"}, "see the keys of chains below"


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


def test_without_a_guide_nothing_is_said_of_it_so_old_keys_stay() -> None:
    assert "guide" not in TASK.canonical()
    renamed = replace(TASK, guide=replace(GUIDE, name="other"))
    assert score_key(renamed, ASK) == score_key(OTHER_TASKS["guide"], ASK)


@pytest.mark.parametrize(
    ("guide", "scale", "guidance"),
    [(None, 1.0, "none"), (None, 3.0, "classifier-free"), (GUIDE, 1.0, "classifier")],
)
def test_the_kind_of_guidance_follows_from_guide_and_scale(
    guide: Guide | None, scale: float, guidance: str
) -> None:
    assert replace(TASK, guide=guide, guidance_scale=scale).guidance == guidance


LEVELS = LevelGuide(name="levels", sha256="7" * 64)
CHAINS = (("eta", 1.0), ("num_skip", 2), ("chains", 32), ("burn_in", 10), ("start_calls", 10))
DRAWN = replace(ASK, candidate=replace(CANDIDATE, chains=CHAINS))


def test_the_level_guide_is_in_the_keys_of_chains_and_in_no_others() -> None:
    task = replace(TASK, level_guide=LEVELS)
    assert score_key(task, ASK) == score_key(TASK, ASK)
    others = [replace(LEVELS, sha256="8" * 64), replace(LEVELS, name="renamed")]
    keys = [score_key(replace(TASK, level_guide=guide), DRAWN) for guide in (LEVELS, *others)]
    assert keys[0] == keys[2] != keys[1]
    assert score_key(TASK, ASK) not in keys


def test_chains_cost_their_steps_and_their_share_of_start_and_burn_in() -> None:
    # 2 calls of ddim, 2 chain steps, 20 calls before 256 / 32 = 8 images of each chain.
    assert calls_of(TASK, DRAWN) == 256 * (2 + 2 + 20 / 8)
    assert calls_of(replace(TASK, guidance_scale=3.0), DRAWN) == 2 * 256 * (2 + 2 + 20 / 8)
    smaller = replace(TASK, numerics=replace(NUMERICS, micro_batch=64))
    assert calls_of(smaller, DRAWN) == 256 * (2 + 2 + 20 / 2)


def test_gradients_are_charged_at_their_price_and_rounded_up() -> None:
    by_classifier = replace(TASK, guide=GUIDE)
    assert calls_of(by_classifier, replace(ASK, num_samples=255)) == 663  # 255 * 2.6
    assert calls_of(by_classifier, replace(ASK, num_samples=257)) == 669  # 668.2


@pytest.mark.parametrize(
    ("solver", "task", "per_image"),
    [
        # N base passes and N gradients (ltsp), 2N gradients (stsp).
        ("ltsp4", replace(TASK, guide=GUIDE), 5 * 1.0 + 5 * 0.3),
        ("stsp4", replace(TASK, guide=GUIDE), 5 * 1.0 + 10 * 0.3),
        ("ltsp4", replace(TASK, guidance_scale=2.0), 5 * 3.0),
        ("stsp4", replace(TASK, guidance_scale=2.0), 5 * 5.0),
    ],
)
def test_split_solvers_cost_their_base_calls_and_their_gradients(
    solver: str, task: Task, per_image: float
) -> None:
    candidate = Candidate(solver=solver, times=(1.0, 0.8, 0.6, 0.4, 0.2, 0.0))
    assert task.price.per_image(candidate) == pytest.approx(per_image, rel=1e-12)
    assert calls_of(task, Ask(candidate, Bank("search"), 100)) == round(100 * per_image)


def test_gradients_that_are_left_out_cost_nothing() -> None:
    options = (("gradient", ("evaluate", "omit", "omit", "evaluate", "evaluate")),)
    candidate = Candidate(solver="ltsp4", times=(1.0, 0.8, 0.6, 0.4, 0.2, 0.0), options=options)
    cost = replace(TASK, guide=GUIDE).price.cost(candidate)
    assert (cost.passes, cost.gradients) == (5, 3)


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
