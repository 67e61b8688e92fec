"""Counting network calls."""

from __future__ import annotations

import math

from evaluators.banks import Bank
from evaluators.price import Price
from evaluators.score import Ask
from search.ledger import Ledger
from space.candidate import Candidate

A = Candidate(solver="ddim", times=(1.0, 0.5, 0.0))
B = Candidate(solver="ddim", times=(1.0, 0.4, 0.0))
SEARCH = Bank("search")


def test_more_images_of_a_candidate_cost_only_the_new_ones() -> None:
    ledger = Ledger(calls_per_image=2)
    assert [ledger.charge(Ask(A, SEARCH, n)) for n in (256, 1024, 4096)] == [512, 1536, 6144]
    assert ledger.spent == 2 * 4096


def test_asking_again_or_for_fewer_costs_nothing() -> None:
    ledger = Ledger(calls_per_image=2)
    ledger.charge(Ask(A, SEARCH, 256))
    assert ledger.charge(Ask(A, SEARCH, 256)) == 0
    assert ledger.charge(Ask(A, SEARCH, 64)) == 0


def test_banks_sets_and_label_rules_share_no_images() -> None:
    ledger = Ledger(calls_per_image=1)
    banks = [SEARCH, Bank("search", 1), Bank("selection"), Bank("search", 0, "random")]
    assert [ledger.charge(Ask(A, bank, 64)) for bank in banks] == [64] * 4


def test_only_what_the_budget_can_pay_for_is_affordable() -> None:
    ledger = Ledger(calls_per_image=1, budget=300)
    ledger.charge(Ask(A, SEARCH, 100))
    asks = [Ask(A, SEARCH, 200), Ask(B, SEARCH, 100), Ask(B, Bank("search", 1), 2)]
    assert ledger.affordable(asks) == asks[:2]
    assert ledger.left == 200


def test_without_budget_everything_is_affordable() -> None:
    ledger = Ledger(calls_per_image=1000)
    asks = [Ask(A, SEARCH, 10_000)]
    assert ledger.affordable(asks) == asks
    assert ledger.left is None


def test_each_candidate_is_charged_its_own_price_and_parts_add_up() -> None:
    price = Price(guidance="classifier", gradient_cost=0.3)
    ledger = Ledger(calls_per_image=99, price=price)
    times = (1.0, 0.5, 0.0)
    split = Candidate(solver="stsp1", times=times)  # 2 base passes and 4 gradients
    parts = [ledger.charge(Ask(split, SEARCH, n)) for n in (65, 130, 257)]
    assert sum(parts) == math.ceil(257 * 3.2)
    assert ledger.charge(Ask(A, SEARCH, 100)) == 260  # 2 passes and 2 gradients
    assert ledger.spent == sum(parts) + 260
