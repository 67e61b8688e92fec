"""Scores in a file of JSON lines."""

from __future__ import annotations

from pathlib import Path

from evaluators.banks import Bank
from evaluators.score import Ask, Score
from search.score_file import ScoreFileJournal
from space.candidate import Candidate

ASK = Ask(Candidate(solver="ddim", times=(1.0, 0.5, 0.0)), Bank("search"), 64)
SCORES = {"a": Score(0.1 + 0.2, None, 8), "b": Score(None, "2 images are not finite", 8)}


def write(path: Path, scores: dict[str, Score]) -> None:
    with ScoreFileJournal(path) as journal:
        for seq, (key, score) in enumerate(scores.items()):
            journal.record(seq=seq, phase="search", ask=ASK, key=key, score=score, cached=False)


def test_scores_come_back_bit_for_bit(tmp_path: Path) -> None:
    path = tmp_path / "new" / "scores.jsonl"
    write(path, SCORES)
    with ScoreFileJournal(path) as journal:
        assert journal.known(["a", "b", "c"]) == SCORES
        assert journal.evaluations == {}


def test_known_scores_are_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    write(path, SCORES)
    size = path.stat().st_size
    write(path, SCORES)
    assert path.stat().st_size == size


def test_a_line_cut_short_by_an_interruption_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    write(path, SCORES)
    path.write_text(path.read_text()[:-10])
    with ScoreFileJournal(path) as journal:
        assert journal.known(["a", "b"]) == {"a": SCORES["a"]}
    write(path, SCORES)
    with ScoreFileJournal(path) as journal:
        assert journal.known(["a", "b"]) == SCORES
