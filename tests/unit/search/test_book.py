"""A strategy's memory."""

from __future__ import annotations

import math

import pytest

from evaluators.banks import Bank
from evaluators.score import Ask, Score
from search.book import Book
from search.ledger import Ledger
from space.candidate import Candidate
from tests.unit.search.analytic import play

CANDIDATES = [Candidate(solver="ddim", times=(1.0, t, 0.0)) for t in (0.5, 0.4, 0.3)]


def book_of(budget: int | None = None) -> Book:
    return Book(Ledger(2, budget), Bank("search"))


def by_time(ask: Ask) -> Score:
    return Score(ask.candidate.times[1], None, 0)


def test_known_candidates_are_not_asked_again() -> None:
    book = book_of()
    play(book.score(CANDIDATES[:2], 64), by_time)
    fitness, played = play(book.score(CANDIDATES, 64), by_time)
    assert fitness == [0.5, 0.4, 0.3]
    assert [ask.candidate for ask in played.asks] == CANDIDATES[2:]
    assert play(book.score(CANDIDATES, 64))[1].batches == []


def test_a_candidate_named_twice_is_asked_once() -> None:
    fitness, played = play(book_of().score(CANDIDATES[:1] * 2, 64), by_time)
    assert fitness == [0.5, 0.5]
    assert len(played.asks) == 1


def test_what_cannot_be_paid_for_is_infinite_and_unasked() -> None:
    book = book_of(budget=2 * 64 * 2)
    fitness, played = play(book.score(CANDIDATES, 64), by_time)
    assert fitness == [0.5, 0.4, math.inf]
    assert len(played.asks) == 2


def test_failures_are_infinite_and_not_ranked() -> None:
    book = book_of()

    def first_fails(ask: Ask) -> Score:
        return Score(None, "bad", 0) if ask.candidate == CANDIDATES[0] else by_time(ask)

    fitness, _ = play(book.score(CANDIDATES, 64), first_fails)
    assert fitness[0] == math.inf
    assert book.ranked(64) == [CANDIDATES[2], CANDIDATES[1]]


def test_values_at_more_images_rank_before_better_ones_at_fewer() -> None:
    book = book_of()
    play(book.score(CANDIDATES, 64), by_time)
    play(book.score(CANDIDATES[:1], 256), by_time)
    assert book.ranked_by_best_known() == [CANDIDATES[0], CANDIDATES[2], CANDIDATES[1]]
    assert book.outcome(2).finalists == (CANDIDATES[0], CANDIDATES[2])


def test_a_wrong_number_of_scores_is_a_bug() -> None:
    asking = book_of().score(CANDIDATES, 64)
    next(asking)
    with pytest.raises(ValueError, match="3 asks were told 1 scores"):
        asking.send([Score(1.0, None, 0)])
