"""The finalists' second bank: the winner is picked on noise that no strategy has seen."""

from __future__ import annotations

import math
from collections.abc import Sequence

from evaluators.banks import Bank
from evaluators.score import Ask
from fewstep.errors import ScoringFailed
from search.plan import Plan
from search.strategy import Asking
from space.candidate import Candidate


def select(plan: Plan, finalists: Sequence[Candidate]) -> Asking[Candidate]:
    """The finalist with the lowest score on the selection bank; a tie goes to the better ranked.

    The search bank's best value is partly luck, which is why it is not trusted to pick.

    Raises:
        ScoringFailed: no finalist, or none that can be scored.
    """
    if not finalists:
        raise ScoringFailed("every candidate of the search failed to be scored; see evaluations")
    if len(finalists) == 1 or plan.selection_images == 0:
        return finalists[0]
    scores = yield [Ask(c, Bank("selection"), plan.selection_images) for c in finalists]
    fids = [math.inf if score.fid is None else score.fid for score in scores]
    best = min(range(len(fids)), key=lambda i: (fids[i], i))
    if math.isinf(fids[best]):
        raise ScoringFailed(f"all finalists failed on the selection bank: {scores[best].failure}")
    return finalists[best]
