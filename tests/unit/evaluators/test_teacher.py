"""The teacher gate: plausible models pass with their numbers, others are refused with theirs."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from evaluators.inline import InlineScorer
from evaluators.score import Task
from evaluators.tasks import make_task
from evaluators.teacher import check_teacher, teacher_ask, teacher_key, teacher_task
from fewstep.errors import TeacherImplausible
from fewstep.networks.card import ModelCard, Teacher
from fewstep.networks.models import resolve
from tests.model_folder import write_model


@pytest.fixture(scope="module")
def card(root: Path) -> ModelCard:
    return resolve("file:random", roots=[root])


def with_teacher(card: ModelCard, max_fid: float) -> ModelCard:
    """The card with a cheaper teacher and another limit."""
    teacher: Teacher = {**card.teacher, "nfe": 3, "num_samples": 64, "max_fid": max_fid}
    return replace(card, teacher=teacher)


def test_images_near_enough_pass_with_their_distance(scorer: InlineScorer, card: ModelCard) -> None:
    found = check_teacher(scorer, with_teacher(card, 1e6))
    assert 0.0 < found.fid < found.max_fid
    assert (found.num_samples, found.nfe) == (64, 3)


def test_random_weights_are_implausible_and_the_message_has_the_numbers(
    scorer: InlineScorer, card: ModelCard
) -> None:
    fid = check_teacher(scorer, with_teacher(card, 1e6)).fid
    with pytest.raises(TeacherImplausible) as caught:
        check_teacher(scorer, with_teacher(card, fid / 2))
    for part in (f"{fid:.4g}", f"{fid / 2:g}", "64 images at 3 calls of ddim", "file:random"):
        assert part in caught.value.message
    assert caught.value.code == "teacher-implausible"
    assert caught.value.field == "model"


def test_a_reference_with_a_limit_of_its_own_is_held_to_that(
    scorer: InlineScorer, task: Task, card: ModelCard
) -> None:
    strict = with_teacher(card, 1e-6)
    teacher: Teacher = {**strict.teacher, "max_fid_to": {"digits": 1e6}}
    lenient = replace(strict, teacher=teacher)
    assert check_teacher(scorer, lenient).max_fid == 1e6
    assert teacher_key(task, lenient) != teacher_key(task, strict)


def test_guidance_and_clipping_of_the_search_do_not_enter_the_gate(
    task: Task, card: ModelCard
) -> None:
    guided = replace(task, guidance_scale=4.0, clip_denoised=False)
    assert teacher_task(guided, card) == task
    assert teacher_key(guided, card) == teacher_key(task, card)


def test_the_key_changes_with_weights_reference_and_limit(task: Task, card: ModelCard) -> None:
    keys = {
        teacher_key(task, card),
        teacher_key(replace(task, weights_sha256="0" * 64), card),
        teacher_key(replace(task, reference_sha256="0" * 64), card),
        teacher_key(task, with_teacher(card, 10.0)),
        teacher_key(task, with_teacher(card, 11.0)),
    }
    assert len(keys) == 5


def test_the_schedule_costs_the_calls_that_the_card_says(card: ModelCard) -> None:
    ask = teacher_ask(card)
    assert ask.candidate.steps == card.teacher["nfe"]
    assert ask.num_samples == card.teacher["num_samples"]


def test_the_bundled_model_has_a_teacher_that_can_be_asked() -> None:
    ask = teacher_ask(resolve("zoo:digits"))
    assert ask.candidate.times[-1] == 0.0


def test_a_teacher_whose_images_are_not_finite_is_refused_with_the_reason(
    tmp_path: Path, task: Task, card: ModelCard
) -> None:
    write_model(tmp_path, output_bias=float("nan"))
    broken = make_task("file:random", numerics=task.numerics, roots=[tmp_path])
    with (
        closing(InlineScorer(broken, roots=[tmp_path])) as opened,
        pytest.raises(TeacherImplausible, match="64 of 64 images are not finite"),
    ):
        check_teacher(opened, with_teacher(card, 1e6))


def test_a_reference_may_have_a_limit_of_its_own(scorer: InlineScorer, card: ModelCard) -> None:
    strict = with_teacher(card, 1e-6)
    limits = {card.default_reference: 1e6}
    lenient = replace(strict, teacher={**strict.teacher, "max_fid_to": limits})
    assert check_teacher(scorer, lenient).max_fid == 1e6
    with pytest.raises(TeacherImplausible, match="at most 1e-06"):
        check_teacher(scorer, strict)
