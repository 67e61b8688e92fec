"""Opening scorers by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from evaluators.banks import Bank
from evaluators.score import Ask, Task
from evaluators.scorers import open_scorer
from fewstep.errors import InvalidInput
from space.candidate import Candidate


def test_an_inline_scorer_scores_and_gives_torch_its_threads_back(task: Task, root: Path) -> None:
    before = torch.get_num_threads()
    ask = Ask(Candidate(solver="ddim", times=(1.0, 0.5, 0.0)), Bank("search"), 16)
    with open_scorer("inline", task, roots=[root], slots=2) as scorer:
        assert scorer.task == task
        (score,) = scorer.score([ask], lambda _position, _score: None)
    assert score.fid is not None
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("executor", "slots", "named"),
    [("dask", 1, "executor='dask'.*inline, ray"), ("inline", 0, "slots=0")],
)
def test_what_cannot_be_opened_is_refused(
    task: Task, root: Path, executor: str, slots: int, named: str
) -> None:
    with (
        pytest.raises(InvalidInput, match=named),
        open_scorer(executor, task, roots=[root], slots=slots),
    ):
        pass
