"""The teacher gate: a search starts only on a model whose full-step images fit its reference.

Wrong flags of a checkpoint (attention layout, normalisation, prediction type) give images that are
noise, and a search would tune noise. One score of a good full-step schedule shows it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from evaluators.banks import Bank
from evaluators.score import Ask, Scorer, Task, score_key
from fewstep.canonical import content_hash
from fewstep.errors import TeacherImplausible
from fewstep.networks.card import ModelCard
from fewstep.solvers import SOLVERS, canonical_name
from fewstep.spacing import grid
from space.candidate import Candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherCheck:
    """What the gate measured."""

    fid: float
    max_fid: float
    num_samples: int
    nfe: int


def teacher_task(task: Task, card: ModelCard) -> Task:
    """The task the gate is scored under: the search's, without guidance, clipped as the card says.

    The card's limit was measured so; strong guidance moves images away from the reference without
    anything being wrong.
    """
    return replace(task, guidance_scale=1.0, guide=None, clip_denoised=card.clip_denoised)


def teacher_ask(card: ModelCard) -> Ask:
    """The card's full-step schedule, on the selection bank."""
    teacher = card.teacher
    solver = SOLVERS.get(canonical_name(teacher["solver"]))
    times = grid(teacher["grid"], card.make_process(), solver.steps_of_nfe(teacher["nfe"]))
    candidate = Candidate(solver=solver.name, times=times)
    return Ask(candidate, Bank("selection"), teacher["num_samples"])


def teacher_key(task: Task, card: ModelCard) -> str:
    """The key under which a passed check may be kept: weights, reference, schedule and limit."""
    key = score_key(teacher_task(task, card), teacher_ask(card))
    return content_hash({"score_key": key, "max_fid": card.max_teacher_fid(task.reference)})


def check_teacher(scorer: Scorer, card: ModelCard) -> TeacherCheck:
    """Score the full-step schedule with a scorer of `teacher_task`; hold it to the card's limit.

    Raises:
        TeacherImplausible: the distance is above the limit, or the images are not finite.
    """
    (score,) = scorer.score([teacher_ask(card)], lambda _position, _score: None)
    teacher, limit = card.teacher, card.max_teacher_fid(scorer.task.reference)
    how = f"{teacher['num_samples']} images at {teacher['nfe']} calls of {teacher['solver']}"
    if score.fid is None:
        raise TeacherImplausible(f"{card.name}: {how} failed: {score.failure}", field="model")
    if score.fid > limit:
        raise TeacherImplausible(
            f"{card.name}: FID {score.fid:.4g} of {how} against {scorer.task.reference!r}; "
            f"allowed: at most {limit:g}. Check the card's flags, the weights and "
            "the reference",
            field="model",
        )
    return TeacherCheck(
        fid=score.fid,
        max_fid=limit,
        num_samples=teacher["num_samples"],
        nfe=teacher["nfe"],
    )
