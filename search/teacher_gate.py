"""No search starts on a model that samples badly at full steps: checked once, then remembered."""

from __future__ import annotations

from evaluators.score import Task
from evaluators.teacher import check_teacher, teacher_key, teacher_task
from fewstep.networks.card import ModelCard
from search.open_scorers import OpenScorer
from store import teacher_checks
from store.engine import Engine
from store.records import TeacherCheck


def pass_teacher_gate(engine: Engine, scorers: OpenScorer, task: Task, card: ModelCard) -> None:
    """Check the full-step model of a task, unless these weights and reference passed before.

    Raises:
        TeacherImplausible: its distance is above the card's limit, or its images are not finite.
        ScoringFailed: the machinery failed.
    """
    key = teacher_key(task, card)
    if teacher_checks.find(engine, key) is not None:
        return
    measured = check_teacher(scorers.for_task(teacher_task(task, card)), card)
    passed = TeacherCheck(
        fid=measured.fid,
        max_fid=measured.max_fid,
        num_samples=measured.num_samples,
        nfe=measured.nfe,
    )
    teacher_checks.put(engine, key, passed)
